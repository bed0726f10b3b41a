//! A read-write lock: a writer becomes a reader.

use conclave_client::recipes::RwLock;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let lock = RwLock::new(&session, "example/rwlock");
    let writing = lock.write().await?;
    let reading = lock.read().await?;
    writing.release().await?;
    eprintln!("others may read, too");
    reading.release().await?;
    client.close().await;
    Ok(())
}
