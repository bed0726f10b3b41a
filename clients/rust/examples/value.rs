//! A shared value, changed only if nobody else has changed it.

use conclave_client::recipes::Value;
use conclave_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let value = Value::new(&client, "example/value");
    let revision = value.set("green").await?;
    let mut listener = value.listen();
    eprintln!("it is {:?}", listener.next().await?);
    match value.compare_and_set(revision, "blue").await? {
        Some(revision) => eprintln!("changed at revision {revision}"),
        None => eprintln!("someone else was first"),
    }
    client.close().await;
    Ok(())
}
