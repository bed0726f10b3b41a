//! A cache of the keys below a prefix.

use conclave_client::recipes::Cache;
use conclave_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let cache = Cache::open(&client, "example/cache/").await?;
    let mut changes = cache.listen();
    let put = client.put("example/cache/color", "green").await?;
    // Reads what was written, or something later.
    let revision = put.header.unwrap_or_default().revision;
    cache.at_least(revision).await?;
    eprintln!("it is {:?}", cache.get("example/cache/color"));
    eprintln!("the change was {:?}", changes.next().await);
    client.close().await;
    Ok(())
}
