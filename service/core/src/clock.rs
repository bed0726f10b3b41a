//! The only file that reads time.
//!
//! Two clocks with two uses. The *monotonic* clock measures how long something takes and when a
//! lease ends; it never jumps. The *wall* clock goes into the header of a command, for people and
//! tools to read; nothing is decided by it. Both are behind [`Clock`], so that a simulation can
//! skew and stop them.

use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock: milliseconds since some moment before the process had a use for
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `duration` after this one. Saturates: "never" is a valid deadline.
    pub fn after(self, duration: Duration) -> Moment {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(millis))
    }

    /// How long from `earlier` to this moment; zero if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Measures short times, such as how busy a connection is. Nothing that matters hangs on it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts one.
    pub fn start() -> Stopwatch {
        Stopwatch {
            started: Instant::now(),
        }
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A wait, which ends when its time is up.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The seam to time.
pub trait Clock: Send + Sync + 'static {
    /// Now, on the clock that never jumps.
    fn now(&self) -> Moment;
    /// Milliseconds since 1970. May jump either way.
    fn wall_ms(&self) -> i64;
    /// Waits for this long from now.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The output of `future`, or `None` if there is none after `duration`.
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
    /// Moments count from here.
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
        // A wall clock before 1970 is as good as none: it is only ever shown.
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}
