//! A shared value: compare-and-set changes it only if its revision is the expected one.

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
