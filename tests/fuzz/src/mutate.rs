//! Mutations of kept inputs for the short run. No coverage guides it, so it stays close to inputs
//! that a long run has kept.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::corpus::Kept;

/// Bytes with a special meaning in many formats.
const TELLING: &[u8] = &[0, 1, 0x7f, 0x80, 0xff];

/// A generator of mutations.
#[derive(Debug)]
pub struct Mutator {
    random: StdRng,
    bytes_max: usize,
}

impl Mutator {
    /// Creates a generator. The same seed and kept inputs give the same mutations.
    pub fn new(seed: u64, bytes_max: usize) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            bytes_max,
        }
    }

    /// The next mutation.
    pub fn next(&mut self, kept: &[Kept]) -> Vec<u8> {
        if kept.is_empty() || self.random.random_ratio(1, 8) {
            return self.fresh();
        }
        let mut input = self.one_of(kept).to_vec();
        for _ in 0..self.random.random_range(1..=8) {
            self.change(&mut input, kept);
        }
        input.truncate(self.bytes_max);
        input
    }

    fn fresh(&mut self) -> Vec<u8> {
        let length = self.random.random_range(0..=self.bytes_max.min(512));
        let mut input = vec![0; length];
        self.random.fill(&mut input[..]);
        input
    }

    fn one_of<'k>(&mut self, kept: &'k [Kept]) -> &'k [u8] {
        &kept[self.random.random_range(0..kept.len())].bytes
    }

    fn change(&mut self, input: &mut Vec<u8>, kept: &[Kept]) {
        let at = self.random.random_range(0..=input.len());
        let length = self.random.random_range(1..=16);
        match self.random.random_range(0..7) {
            0 => with(input, at, |byte| byte ^ 1 << (length % 8)),
            1 => with(input, at, |byte| byte.wrapping_add(length)),
            2 => {
                let byte = TELLING[usize::from(length) % TELLING.len()];
                with(input, at, |_| byte);
            }
            3 => {
                let byte = self.random.random();
                with(input, at, |_| byte);
            }
            4 => {
                let piece: Vec<u8> = (0..length).map(|_| self.random.random()).collect();
                input.splice(at..at, piece);
            }
            5 => {
                let end = input.len().min(at + usize::from(length));
                input.drain(at..end);
            }
            _ => {
                let other = self.one_of(kept);
                let from = self.random.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}

fn with(input: &mut [u8], at: usize, change: impl Fn(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = change(*byte);
    }
}
