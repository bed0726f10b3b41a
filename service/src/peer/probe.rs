//! Measures the round trip of a request to a member every few seconds.
//!
//! The request uses the connection of the raft messages, so that it shows everything that delays
//! them: a slow network, a backlog of unsent data, a busy process. It is a GET of `/version`, which
//! needs neither the member's disk nor its driver.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::BodyExt as _;
use prometheus::Histogram;
use tokio::time::{MissedTickBehavior, interval};

use super::dial::Connection;
use conclave_core::clock::Stopwatch;

/// The interval of etcd's members.
const INTERVAL: Duration = Duration::from_secs(4);

/// Sends requests until it is dropped. Failures are ignored: pings detect a dead connection.
pub(super) async fn run(connection: &Connection, url: &str, round_trips: &Histogram) -> Infallible {
    let mut turns = interval(INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let since = Stopwatch::start();
        match ask(connection, url).await {
            Ok(()) => round_trips.observe(since.elapsed().as_secs_f64()),
            Err(error) => tracing::debug!(%url, %error, "a member does not answer a probe"),
        }
    }
}

async fn ask(connection: &Connection, url: &str) -> hyper::Result<()> {
    let answer = connection.get(&format!("{url}/version")).await?;
    // The body is read to its end: an unread one would be cancelled with an extra frame.
    answer.into_body().collect().await.map(drop)
}
