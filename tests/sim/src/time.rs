//! Time that passes when the world says so.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use conclave_core::clock::{Clock, Moment, Sleep};

/// The world's time, shared by the clocks of all members.
#[derive(Clone, Default)]
pub struct Time {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    now_ms: u64,
    /// Waits, by when they end and the order in which they began.
    timers: BTreeMap<(u64, u64), Waker>,
    count: u64,
}

impl Time {
    /// Milliseconds since the world began.
    pub fn now_ms(&self) -> u64 {
        self.with(|inside| inside.now_ms)
    }

    /// Lets time pass, and wakes what was waiting for it, in the order of the deadlines.
    pub fn advance(&self, by_ms: u64) {
        let due = self.with(|inside| {
            inside.now_ms += by_ms;
            let later = inside.timers.split_off(&(inside.now_ms + 1, 0));
            std::mem::replace(&mut inside.timers, later)
        });
        due.into_values().for_each(Waker::wake);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        work(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The fastest clock, in thousandths of the world's time.
pub const RATE_MAX: u64 = 1_050;
/// The slowest clock.
pub const RATE_MIN: u64 = 950;

/// The clock of one member: the world's time, and how far this one is off.
pub struct SkewedClock {
    /// The world's time.
    pub time: Time,
    /// The speed, in thousandths of the world's time.
    pub rate: u64,
    /// Shown when the world begins.
    pub skew_ms: u64,
}

impl Clock for SkewedClock {
    fn now(&self) -> Moment {
        Moment(self.time.now_ms() * self.rate / 1000 + self.skew_ms)
    }

    fn wall_ms(&self) -> i64 {
        i64::try_from(self.now().0).unwrap_or(i64::MAX)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let world_ms = millis.saturating_mul(1000).div_ceil(self.rate);
        let deadline_ms = self.time.now_ms().saturating_add(world_ms);
        Box::pin(Wait {
            deadline_ms,
            time: self.time.clone(),
            key: None,
        })
    }
}

struct Wait {
    deadline_ms: u64,
    time: Time,
    /// In the table of timers.
    key: Option<(u64, u64)>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (deadline_ms, key) = (this.deadline_ms, &mut this.key);
        this.time.with(|inside| {
            if inside.now_ms >= deadline_ms {
                return Poll::Ready(());
            }
            let key = *key.get_or_insert_with(|| {
                inside.count += 1;
                (deadline_ms, inside.count)
            });
            inside.timers.insert(key, cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.time.with(|inside| inside.timers.remove(&key));
        }
    }
}
