//! Waiting without sleeping through it: every wait has a deadline and says what it waited for.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything a healthy server does may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a condition that announces itself to nobody is looked at.
const POLL: Duration = Duration::from_millis(5);

/// The future's output; panics when it takes longer than [`DEADLINE`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing within {DEADLINE:?}"),
    }
}

/// Asks `probe` until it answers; panics when it does not within [`DEADLINE`].
pub async fn eventually<T, F, P>(what: &str, probe: P) -> T
where
    P: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    eventually_by(Instant::now() + DEADLINE, what, probe).await
}

/// [`eventually`] with a deadline of the caller's.
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
            "{what}: did not come about in time"
        );
        ticks.tick().await;
    }
}
