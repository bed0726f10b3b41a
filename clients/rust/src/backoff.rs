//! Pauses between attempts.

use std::time::Duration;

/// Pause after all endpoints have failed; each further failure doubles it.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(25);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Pauses that double from the shortest to the longest.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            next: shortest,
            longest,
        }
    }

    /// The pauses of a call (R2).
    pub(crate) fn of_calls() -> Self {
        Self::new(RETRY_PAUSE_MIN, RETRY_PAUSE_MAX)
    }

    /// Returns the next pause, which varies by a tenth, so that clients that failed together do not
    /// come back together.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(rand::random_range(0.9..=1.0))
    }
}
