//! How long a question to a member and its answer take, asked every few seconds.
//!
//! On the connection that carries raft's messages, because what holds those up is to be seen: a
//! slow network, much that waits to be sent, a process that has no time. What is asked for is
//! `/version`, which takes neither the member's disk nor its driver.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::BodyExt as _;
use prometheus::Histogram;
use tokio::time::{MissedTickBehavior, interval};

use super::dial::Connection;
use conclave_core::clock::Stopwatch;

/// etcd's members ask each other as often.
const INTERVAL: Duration = Duration::from_secs(4);

/// Asks for as long as it is waited for. What gets no answer says nothing here: pings end a
/// connection that is dead.
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
    // To its end: an answer that is not read is cut off with a frame of its own.
    answer.into_body().collect().await.map(drop)
}
