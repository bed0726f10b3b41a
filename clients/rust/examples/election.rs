//! An election, and work that the leader does.

use conclave_client::recipes::Election;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let election = Election::new(&session, "example/election");
    let observing = client.clone();
    let done = election.lead("10.0.0.1:80", async |leadership| {
        let mut leaders = Election::observe(&observing, "example/election");
        eprintln!("the leader is {:?}", leaders.next().await?);
        leadership.proclaim("10.0.0.1:8080").await?;
        Ok(leadership.held().token())
    });
    // If the leadership is lost, the work is dropped.
    eprintln!("worked with token {}", done.await?);
    client.close().await;
    Ok(())
}
