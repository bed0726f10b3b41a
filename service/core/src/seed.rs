//! Randomness: unpredictable numbers in production, a repeatable sequence in tests and simulations.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A source of random numbers.
pub trait Seed: Send + Sync + 'static {
    /// Returns the next number, uniform over all of them.
    fn next(&self) -> u64;
}

/// Returns a duration that is longer than `base` by up to a tenth.
pub(crate) fn with_jitter(seed: &dyn Seed, base: Duration) -> Duration {
    base + base.mul_f64(seed.next() as f64 / u64::MAX as f64 / 10.0)
}

/// The SplitMix64 generator (Steele, Lea and Flood 2014): one addition and a mix, good enough for
/// timeouts and priorities, and the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

/// Added to the state for each number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    pub(crate) fn new(state: u64) -> SplitMix64 {
        SplitMix64(state)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }
}

fn mix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seed whose numbers depend only on its start, by the same generator.
#[derive(Debug)]
pub struct Sequence(AtomicU64);

impl Sequence {
    /// Starts at this state.
    pub fn new(state: u64) -> Sequence {
        Sequence(AtomicU64::new(state))
    }
}

impl Seed for Sequence {
    fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed))
    }
}

/// Returns a sequence for a member of a test. No two members draw the same numbers.
#[cfg(test)]
pub(crate) fn sequence() -> std::sync::Arc<Sequence> {
    static START: AtomicU64 = AtomicU64::new(1);
    let start = START.fetch_add(1 << 32, Ordering::Relaxed);
    std::sync::Arc::new(Sequence::new(start))
}
