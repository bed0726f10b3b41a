//! A counter.

use conclave_client::recipes::Counter;
use conclave_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let counter = Counter::new(&client, "example/counter");
    eprintln!("it was {}", counter.get().await?);
    eprintln!("it is {}", counter.add(1).await?);
    client.close().await;
    Ok(())
}
