//! A use per second.

use std::num::NonZeroU64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use conclave_core::clock::Moment;

/// How far a pace may be ahead of the clock, in nanoseconds.
const BURST_NS: u64 = 1_000_000_000;
/// How far what was used beyond a limit may move a pace ahead of the clock, in nanoseconds.
pub(super) const DEBT_MAX_NS: u64 = 10 * BURST_NS;

/// A use per second: the moment up to which it is paid, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    /// Takes a use if it is at most a second ahead of the clock.
    pub(super) fn take(&self, cost_ns: u64, now: Moment) -> bool {
        let now_ns = ns(now);
        let paid = |until: u64| {
            let until = until.max(now_ns).saturating_add(cost_ns);
            (until <= now_ns.saturating_add(BURST_NS)).then_some(until)
        };
        self.0.fetch_update(Relaxed, Relaxed, paid).is_ok()
    }

    /// Adds a use that has happened. Of a large one, no more than the longest debt is paid.
    pub(super) fn charge(&self, cost_ns: u64, now: Moment) {
        let now_ns = ns(now);
        let most = now_ns.saturating_add(DEBT_MAX_NS);
        let paid = |until: u64| {
            let used = until.max(now_ns).saturating_add(cost_ns);
            Some(used.min(most).max(until))
        };
        // Always some.
        let _ = self.0.fetch_update(Relaxed, Relaxed, paid);
    }

    /// Adds a use that happens later: in its turn, after what was reserved before. Returns the time
    /// until then.
    pub(super) fn reserve(&self, cost_ns: u64, now: Moment) -> Duration {
        let now_ns = ns(now);
        let reserved = |until: u64| Some(until.max(now_ns).saturating_add(cost_ns));
        let (Ok(until) | Err(until)) = self.0.fetch_update(Relaxed, Relaxed, reserved);
        // A use of more than a second's worth begins when all before it is paid.
        let within_burst = until.max(now_ns).saturating_add(cost_ns.min(BURST_NS));
        let turn = within_burst.saturating_sub(BURST_NS);
        Duration::from_nanos(turn.saturating_sub(now_ns))
    }

    /// Takes back a reservation that was not used.
    pub(super) fn give_back(&self, cost_ns: u64) {
        let less = |until: u64| Some(until.saturating_sub(cost_ns));
        // Always some.
        let _ = self.0.fetch_update(Relaxed, Relaxed, less);
    }

    /// Returns true if a second's worth and more is used.
    pub(super) fn is_behind(&self, now: Moment) -> bool {
        self.0.load(Relaxed) >= ns(now).saturating_add(BURST_NS)
    }

    /// Returns true if all that was used is paid.
    pub(super) fn is_paid(&self, now: Moment) -> bool {
        self.0.load(Relaxed) <= ns(now)
    }
}

fn ns(moment: Moment) -> u64 {
    moment.0.saturating_mul(1_000_000)
}

/// Returns how long this much use takes at a limit.
pub(super) fn cost_ns(units: u64, per_second: NonZeroU64) -> u64 {
    let cost = u128::from(units) * u128::from(BURST_NS) / u128::from(per_second.get());
    u64::try_from(cost).unwrap_or(u64::MAX)
}
