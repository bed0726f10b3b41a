//! Waiting without sleeping: every wait has a deadline, and a failure names what it waited for.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long any operation of a healthy server may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Polling interval for a condition that sends no notification.
const POLL: Duration = Duration::from_millis(5);

/// Returns the future's output; panics when it takes longer than [`DEADLINE`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing within {DEADLINE:?}"),
    }
}

/// Polls `probe` until it answers; panics after [`DEADLINE`].
pub async fn eventually<T, F, P>(what: &str, probe: P) -> T
where
    P: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    eventually_by(Instant::now() + DEADLINE, what, probe).await
}

/// [`eventually`] with a deadline chosen by the caller.
pub async fn eventually_by<T, F, P>(deadline: Instant, what: &str, mut probe: P) -> T
where
    P: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: did not happen by the deadline"
        );
        ticks.tick().await;
    }
}
