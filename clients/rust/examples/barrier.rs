//! A barrier, at which others wait.

use conclave_client::recipes::Barrier;
use conclave_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let barrier = Barrier::new(&client, "example/barrier");
    barrier.hold().await?;
    let waiting = barrier.clone();
    let waiter = tokio::spawn(async move { waiting.wait().await });
    barrier.release().await?;
    waiter.await.expect("it does not panic")?;
    client.close().await;
    Ok(())
}
