//! A latch that is counted down.

use conclave_client::recipes::Latch;
use conclave_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    client.delete("example/latch").await?;
    let latch = Latch::new(&client, "example/latch");
    latch.create(2).await?;
    eprintln!("{} left", latch.count_down().await?);
    eprintln!("{} left", latch.count_down().await?);
    latch.wait().await?;
    client.close().await;
    Ok(())
}
