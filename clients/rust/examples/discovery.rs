//! A service that others find.

use conclave_client::recipes::Service;
use conclave_client::{Client, Error, SESSION_TTL_SECONDS};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env().await?;
    let session = client.session(SESSION_TTL_SECONDS).await?;
    let service = Service::new(&client, "example/discovery");
    let registered = service.register(&session, "10.0.0.1:80", None).await?;
    for instance in service.instances().await? {
        eprintln!("an instance listens on {}", instance.address);
    }
    registered.release().await?;
    client.close().await;
    Ok(())
}
