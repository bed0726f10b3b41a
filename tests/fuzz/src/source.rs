//! Reads an input from its front as numbers, choices and byte strings.
//!
//! The format is deliberately plain: one byte per choice, byte strings unencoded. A seed keeps its
//! meaning as long as the target reads the same values in the same order, a changed byte has a
//! small effect, and an input that is too short reads as zeros.

use bytes::Bytes;

/// The unread rest of an input.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    bytes: &'a [u8],
}

/// Numbers at which arithmetic may overflow.
const EDGES: &[u64] = &[
    0,
    1,
    u32::MAX as u64,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX - 1,
    u64::MAX,
];

impl<'a> Source<'a> {
    /// Starts at the front of an input.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Returns true if nothing is left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    /// A boolean.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// True for one in 64 values of a byte.
    pub fn rarely(&mut self) -> bool {
        self.byte() & 63 == 63
    }

    /// One of the given values.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// The next `count` bytes, or the rest if it is shorter.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    /// A byte string with its length in front: up to 255 bytes.
    pub fn piece(&mut self) -> Bytes {
        let length = usize::from(self.byte());
        Bytes::copy_from_slice(self.take(length))
    }

    /// The whole rest.
    pub fn rest(&mut self) -> Bytes {
        Bytes::copy_from_slice(self.take(usize::MAX))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }

    /// A number that is mostly within a few of `of`, sometimes at a limit of the type, and
    /// sometimes arbitrary.
    pub fn near(&mut self, of: u64) -> u64 {
        match self.byte() {
            chosen @ 0..=199 => of.wrapping_add(u64::from(chosen % 9)).wrapping_sub(4),
            chosen @ 200..=247 => EDGES[usize::from(chosen) % EDGES.len()],
            248.. => self.number(),
        }
    }

    /// [`Source::near`] for signed numbers.
    pub fn near_signed(&mut self, of: i64) -> i64 {
        self.near(of.cast_unsigned()).cast_signed()
    }
}
