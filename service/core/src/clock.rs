//! The only file that reads time.
//!
//! There are two clocks. The *monotonic* clock never jumps; it measures durations and decides when
//! a lease ends. The *wall* clock goes into the header of a command, for people and tools to read,
//! and decides nothing. Both are behind [`Clock`], so that a simulation can skew and stop them.

use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock, in milliseconds since a moment before its first use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns the moment `duration` after this one. Saturates: "never" is a valid deadline.
    pub fn after(self, duration: Duration) -> Moment {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(millis))
    }

    /// Returns the time from `earlier` to this moment, or zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Measures short times for metrics and logs. Nothing is decided by it, so it has no seam.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Stopwatch {
        Stopwatch {
            started: Instant::now(),
        }
    }

    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the start by the machine's wall clock, for people to read.
    pub fn started_at(&self) -> SystemTime {
        let now = SystemTime::now();
        now.checked_sub(self.elapsed()).unwrap_or(now)
    }
}

/// A future that is ready when its time is up.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The seam to time.
pub trait Clock: Send + Sync + 'static {
    /// Reads the monotonic clock.
    fn now(&self) -> Moment;
    /// Reads the wall clock: milliseconds since 1970. May jump either way.
    fn wall_ms(&self) -> i64;
    /// Returns a wait of this length, from now.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// Returns the output of `future`, or `None` if there is none after `duration`.
pub(crate) async fn timeout<F: Future>(
    clock: &dyn Clock,
    duration: Duration,
    future: F,
) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = clock.sleep(duration) => None,
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Creates a clock whose moments count from now.
    pub fn new() -> SystemClock {
        SystemClock {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn wall_ms(&self) -> i64 {
        // A wall clock before 1970 counts as 1970: it is only shown.
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}
