//! A failing sync: the process stops at the first one and names the file, and no write is
//! acknowledged that may be lost.

use std::time::Duration;

use conclave_client::Client;
use harness::syncs::{FailingSyncs, REASON};
use harness::{Process, within};

/// Time limit for the process to end, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn nothing_is_acknowledged_after_a_sync_that_failed() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let client = Client::connect([process.endpoint()]).await.unwrap();
        for index in 0..10 {
            client.put(format!("before{index}"), "x").await.unwrap();
        }
        let Some(failing) = FailingSyncs::of(process.child().pid()) else {
            return;
        };
        // Several concurrent writers, each with one write after the other: writes queued behind the
        // first failing sync must not be acknowledged by a later sync that succeeds.
        let writers: Vec<_> = (0..8)
            .map(|writer| tokio::spawn(write(process.endpoint().to_owned(), writer)))
            .collect();
        for writer in writers {
            let acknowledged = within("a writer to give up", writer).await.unwrap();
            assert_eq!(acknowledged, 0, "after the sync had failed");
        }
        process.child().wait_at_most(AT_ONCE);
        let log = process.data_dir().join("member/log");
        process.child().expect_error(REASON, &log);
        drop(failing);
        process.restart();
        let client = Client::connect([process.endpoint()]).await.unwrap();
        for index in 0..10 {
            let kept = client.get(format!("before{index}")).await.unwrap();
            assert!(kept.is_some(), "before{index} is lost");
        }
        client.put("after", "x").await.unwrap();
    });
}

/// Writes until the server is gone; returns how many writes were acknowledged.
async fn write(endpoint: String, writer: usize) -> usize {
    let client = Client::connect([endpoint]).await.unwrap();
    let mut acknowledged = 0;
    for index in 0..10 {
        if client.put(format!("{writer}/{index}"), "x").await.is_err() {
            break;
        }
        acknowledged += 1;
    }
    acknowledged
}
