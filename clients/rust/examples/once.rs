//! Work that is done once by all together.

use conclave_client::recipes::Once;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let once = Once::new(&session, "example/once");
    let work = async || Ok(format!("made by {}", std::process::id()).into());
    let done = once.run(work).await?;
    eprintln!("the result is {:?}, by us: {}", done.result, done.ran);
    client.close().await;
    Ok(())
}
