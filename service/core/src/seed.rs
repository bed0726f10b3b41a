//! Randomness, as the process gives it: numbers that nobody can guess in production, a sequence
//! that a test can repeat in a simulation.

/// A source of random numbers.
pub trait Seed: Send + Sync + 'static {
    /// Returns the next number, uniform over all of them.
    fn next(&self) -> u64;
}

/// Returns a duration that is longer than `base` by up to a tenth.
pub(crate) fn with_jitter(seed: &dyn Seed, base: std::time::Duration) -> std::time::Duration {
    base + base.mul_f64(seed.next() as f64 / u64::MAX as f64 / 10.0)
}

/// A sequence for tests, the same in every run.
#[cfg(test)]
pub(crate) struct Counting(std::sync::atomic::AtomicU64);

#[cfg(test)]
impl Counting {
    pub(crate) fn new() -> std::sync::Arc<Counting> {
        // Two members of a test must not draw the same numbers.
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let start = NEXT.fetch_add(1 << 32, std::sync::atomic::Ordering::Relaxed);
        std::sync::Arc::new(Counting(start.into()))
    }
}

#[cfg(test)]
impl Seed for Counting {
    /// The finalizer of splitmix64 (Steele, Lea and Flood 2014), which spreads a counter.
    fn next(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(step, std::sync::atomic::Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
