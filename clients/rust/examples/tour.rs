//! The tour of the README.

use conclave_client::recipes::Mutex;
use conclave_client::{Client, Keys, txn};

#[tokio::main]
async fn main() -> Result<(), conclave_client::Error> {
    // ETCDCTL_ENDPOINTS and the other variables of etcdctl, or 127.0.0.1:2379. Without the
    // environment: Client::connect(["http://10.0.0.1:2379", "http://10.0.0.2:2379"]).
    let client = Client::from_env().await?;

    // Keys, and a watch that misses nothing.
    let mut watch = client.watch(Keys::prefix("config/")).open().await?;
    client.put("config/color", "green").await?;
    let color = client.get("config/color").await?.expect("just written");
    assert_eq!(color.value, "green");
    let batch = watch.next().await?.expect("the watch is open");
    assert_eq!(batch.revision, color.mod_revision);

    // A lock. It is held while the session lives.
    let session = client.session(10).await?;
    let held = Mutex::new(&session, "jobs/nightly").lock().await?;

    // A write that takes effect only while we hold the lock, whatever we believe.
    let put = txn::put("state/nightly", "running");
    let done = client.txn(txn::when([held.guard()], [put])).await?;
    assert!(done.succeeded);

    // Work, unless the lock is lost.
    tokio::select! {
        () = held.lost() => eprintln!("the lock is lost: stop"),
        () = std::future::ready(()) => held.release().await?,
    }
    client.close().await;
    Ok(())
}
