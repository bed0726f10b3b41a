//! A watch, which misses nothing.

use conclave_client::{Client, Error, Keys};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let keys = Keys::prefix("example/watch/");
    let mut watch = client.watch(keys).open().await?;
    client.put("example/watch/color", "green").await?;
    if let Some(batch) = watch.next().await? {
        for event in batch.events {
            eprintln!("revision {}: {:?}", batch.revision, event.kv);
        }
    }
    client.close().await;
    Ok(())
}
