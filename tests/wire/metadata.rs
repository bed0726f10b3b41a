//! Metadata of requests.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::{StatusRequest, WatchRequest, watch_request::RequestUnion};
use harness::api::{get, put, watch};
use harness::{Node, raw, refused, within};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

suite![
    requiring_a_leader_is_fine_when_there_is_one,
    a_watch_can_require_a_leader,
    the_api_version_is_accepted,
    an_api_version_that_is_no_text_is_refused => "3.4 ignores it",
    a_token_plays_no_part_while_auth_is_off => "3.4 still checks it",
    unknown_metadata_is_ignored,
    a_deadline_is_kept,
    the_server_ends_a_call_at_its_deadline => "3.4 leaves it to the client",
    a_malformed_time_is_refused => "the gRPC of 3.4 has other words",
    a_stream_ends_with_its_deadline => "3.4 leaves it to the client",
];

async fn requiring_a_leader_is_fine_when_there_is_one(node: Node) {
    let reply = node
        .kv()
        .put(with("hasleader", "true", put("a", "1")))
        .await;
    assert!(reply.is_ok());
}

async fn a_watch_can_require_a_leader(node: Node) {
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(watch("a"))),
    };
    // An endless request stream, like that of a client that stays connected.
    let requests =
        tokio_stream::StreamExt::chain(tokio_stream::iter([create]), tokio_stream::pending());
    let mut stub = node.watches();
    let stream = stub.watch(with("hasleader", "true", requests));
    let mut responses = within("a watch", stream).await.unwrap().into_inner();
    assert!(responses.message().await.unwrap().unwrap().created);
    node.put("a", "1").await;
    let told = within("an event", responses.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told.events.len(), 1);
}

async fn the_api_version_is_accepted(node: Node) {
    for version in ["3.7", "3.4", "unheard of"] {
        let request = with("client-api-version", version, StatusRequest {});
        assert!(node.maintenance().status(request).await.is_ok());
    }
}

async fn an_api_version_that_is_no_text_is_refused(node: Node) {
    let mut request = Request::new(get("a"));
    let value = MetadataValue::try_from(&[0xff, 0xfe][..]).unwrap();
    request.metadata_mut().insert("client-api-version", value);
    refused(
        node.kv().range(request).await,
        ApiError::InvalidClientAPIVersion,
    );
}

async fn a_token_plays_no_part_while_auth_is_off(node: Node) {
    assert!(
        node.kv()
            .put(with("token", "abc.1", put("a", "1")))
            .await
            .is_ok()
    );
    assert!(
        node.kv()
            .put(with("authorization", "abc.1", put("a", "1")))
            .await
            .is_ok()
    );
}

async fn unknown_metadata_is_ignored(node: Node) {
    assert!(
        node.kv()
            .put(with("x-trace", "1", put("a", "1")))
            .await
            .is_ok()
    );
}

/// A lock that does not become free within the request's deadline.
async fn a_deadline_is_kept(node: Node) {
    use conclave_proto::v3lockpb::LockRequest;
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    let lock = |lease| LockRequest {
        name: "l".into(),
        lease,
    };
    node.locks().lock(lock(1)).await.unwrap();
    let mut request = Request::new(lock(2));
    request.set_timeout(std::time::Duration::from_millis(300));
    let outcome = within("an answer", node.locks().lock(request)).await;
    let code = outcome.unwrap_err().code();
    assert!(
        matches!(code, tonic::Code::DeadlineExceeded | tonic::Code::Cancelled),
        "{code:?}"
    );
    harness::eventually("the waiter to leave the queue", || async {
        node.get("l/2").await.is_none().then_some(())
    })
    .await;
}

async fn a_malformed_time_is_refused(node: Node) {
    for (timeout, reason) in [
        ("S", "timeout string is too short"),
        ("100000000S", "timeout string is too long"),
        ("1", "timeout string is too short"),
        ("abc", "timeout unit is not recognized"),
        ("-1S", "timeout is not a number"),
    ] {
        let headers = [("grpc-timeout", timeout)];
        let path = "/etcdserverpb.KV/Put";
        let request = put("k", "v");
        let called = raw::status_of(node.address(), path, &headers, &request);
        let status = within("a status", called).await;
        let expected = format!("malformed grpc-timeout: transport: {reason}");
        assert_eq!(
            (status.code(), status.message()),
            (Code::Internal, &*expected)
        );
    }
    assert_eq!(node.get("k").await, None);
}

/// A client that keeps no clock, or whose reset is lost.
async fn the_server_ends_a_call_at_its_deadline(node: Node) {
    use conclave_proto::v3lockpb::LockRequest;
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    let lock = |lease| LockRequest {
        name: "l".into(),
        lease,
    };
    let request = lock(2);
    let call = |timeout: &'static str| {
        let (address, request) = (node.address(), &request);
        async move {
            let headers = [("grpc-timeout", timeout)];
            let called = raw::status_of(address, "/v3lockpb.Lock/Lock", &headers, request);
            within("a status", called).await
        }
    };
    node.locks().lock(lock(1)).await.unwrap();
    for timeout in ["300m", "1n", "0S"] {
        let status = call(timeout).await;
        let expected = Status::from(ApiError::DeadlineExceeded);
        assert_eq!(
            (status.code(), status.message()),
            (expected.code(), expected.message())
        );
        harness::eventually("the waiter to leave the queue", || async {
            node.get("l/2").await.is_none().then_some(())
        })
        .await;
    }
    node.locks()
        .unlock(conclave_proto::v3lockpb::UnlockRequest { key: "l/1".into() })
        .await
        .unwrap();
    assert_eq!(call("20S").await.code(), Code::Ok);
}

async fn a_stream_ends_with_its_deadline(node: Node) {
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(watch("a"))),
    };
    let requests =
        tokio_stream::StreamExt::chain(tokio_stream::iter([create]), tokio_stream::pending());
    let mut stub = node.watches();
    let stream = stub.watch(with("grpc-timeout", "2S", requests));
    let mut responses = within("a watch", stream).await.unwrap().into_inner();
    assert!(responses.message().await.unwrap().unwrap().created);
    node.put("a", "1").await;
    let mut last = within("an event or the end", responses.message()).await;
    if last.is_ok() {
        last = within("the end", responses.message()).await;
    }
    refused(last, ApiError::DeadlineExceeded);
}

fn with<T>(name: &'static str, value: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(name, MetadataValue::from_static(value));
    request
}
