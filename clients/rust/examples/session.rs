//! A session, whose keys go with it.

use conclave_client::api::PutRequest;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    // From ETCDCTL_ENDPOINTS and the other variables of etcdctl.
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let mut states = session.states();
    eprintln!("the session is {:?}", states.next().await);
    let put = PutRequest {
        key: "example/session".into(),
        value: "here while the session lives".into(),
        lease: session.id(),
        ..Default::default()
    };
    client.put_with(put).await?;
    session.close().await;
    assert!(client.get("example/session").await?.is_none());
    client.close().await;
    Ok(())
}
