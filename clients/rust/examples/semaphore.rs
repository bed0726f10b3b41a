//! A semaphore: two of three get a permit.

use conclave_client::recipes::Semaphore;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let semaphore = Semaphore::new(&session, "example/semaphore", 2)?;
    let first = semaphore.acquire().await?;
    let second = semaphore.acquire().await?;
    assert!(semaphore.try_acquire().await?.is_none());
    first.release().await?;
    second.release().await?;
    client.close().await;
    Ok(())
}
