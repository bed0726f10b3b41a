//! A queue, whose items are done when they are acknowledged.

use conclave_client::recipes::Queue;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let queue = Queue::new(&client, "example/queue");
    queue.put("an item").await?;
    let item = queue.take(&session).await?;
    eprintln!("took {:?}", item.value());
    assert!(item.ack().await?);
    client.close().await;
    Ok(())
}
