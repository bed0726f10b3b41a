//! A double barrier: two sessions begin and end together.

use conclave_client::recipes::DoubleBarrier;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let work = async |name: &str| {
        let session = client.session(SESSION_TTL_SECONDS).await?;
        let barrier = DoubleBarrier::new(&session, "example/double_barrier", 2)?;
        let inside = barrier.enter().await?;
        eprintln!("{name} works");
        inside.leave().await
    };
    let (one, two) = tokio::join!(work("one"), work("two"));
    one?;
    two?;
    client.close().await;
    Ok(())
}
