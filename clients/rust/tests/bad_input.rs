//! Arguments that are wrong.

use conclave_client::{ApiError, ErrorKind, api};

use crate::server::Server;

#[tokio::test]
async fn wrong_arguments_are_refused_before_anything_is_sent() {
    let server = Server::start().await;
    let client = server.client().await;
    for outcome in [
        client.put("", "1").await.map(drop),
        client.get("").await.map(drop),
        client.delete("").await.map(drop),
        client.grant(0).await.map(drop),
        client.session(-1).await.map(drop),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(!error.is_retriable() && !error.may_have_happened());
    }
}

#[tokio::test]
async fn errors_of_the_server_have_their_names() {
    let server = Server::start().await;
    let client = server.client().await;
    let error = client.revoke(9).await.unwrap_err();
    assert_eq!(error.api(), Some(ApiError::LeaseNotFound));
    let future = api::RangeRequest {
        key: "k".into(),
        revision: 100,
        ..Default::default()
    };
    let error = client.range_with(future).await.unwrap_err();
    assert_eq!(error.api(), Some(ApiError::FutureRev));
    assert_eq!(error.kind(), ErrorKind::Api);
    let big = vec![0; 4 << 20];
    let error = client.put("k", big).await.unwrap_err();
    assert!(!error.may_have_happened(), "{error:?}");
}
