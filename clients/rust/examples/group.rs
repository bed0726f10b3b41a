//! A group of members.

use conclave_client::recipes::Group;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let group = Group::new(&client, "example/group");
    let membership = group.join(&session, "worker-1", "idle").await?;
    membership.set("busy").await?;
    eprintln!("members: {:?}", group.members().await?);
    membership.leave().await?;
    client.close().await;
    Ok(())
}
