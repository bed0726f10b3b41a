//! Transactional memory: a transfer that takes effect as a whole.

use conclave_client::recipes::stm;
use conclave_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    client.put("example/stm/from", "treasure").await?;
    let moved = stm(&client, |tx| async move {
        let treasure = tx.get("example/stm/from").await?.unwrap_or_default();
        tx.put("example/stm/to", treasure.clone());
        tx.delete("example/stm/from");
        Ok(treasure)
    });
    eprintln!("moved {:?}", moved.await?);
    client.close().await;
    Ok(())
}
