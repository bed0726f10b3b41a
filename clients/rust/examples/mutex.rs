//! A mutex, and a write that only its owner can do.

use conclave_client::recipes::Mutex;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS, txn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let held = Mutex::new(&session, "example/mutex").lock().await?;
    eprintln!("locked with token {}", held.token());
    let put = txn::put("example/guarded", "by the owner");
    let done = client.txn(txn::when([held.guard()], [put])).await?;
    assert!(done.succeeded);
    held.release().await?;
    client.close().await;
    Ok(())
}
