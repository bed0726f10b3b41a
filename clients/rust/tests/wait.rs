//! Waiting for conditions, with a deadline.

use std::time::{Duration, Instant};

/// Time limit of every wait, for a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// Interval of looks at a condition that sends no notification.
const POLL: Duration = Duration::from_millis(10);

/// Returns the future's output; panics after the deadline.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing within {DEADLINE:?}"),
    }
}

/// Looks until the condition is true; panics after the deadline.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let begun = Instant::now();
    let mut looks = tokio::time::interval(POLL);
    while !condition().await {
        assert!(
            begun.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        looks.tick().await;
    }
}
