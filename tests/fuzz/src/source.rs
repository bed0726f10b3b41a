//! An input, read from its front as numbers, choices and pieces.
//!
//! The reading is deliberately plain: one byte a choice, the rest as it stands. A seed keeps its
//! meaning as long as the target asks for the same things in the same order, a byte that changes
//! changes little, and an input that is too short reads as zeros.

use bytes::Bytes;

/// What is left of an input.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    bytes: &'a [u8],
}

/// Numbers at which arithmetic goes wrong.
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
    /// All of an input.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether nothing is left.
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

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Yes, once in 64 values of a byte.
    pub fn rarely(&mut self) -> bool {
        self.byte() & 63 == 63
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// The next `count` bytes, or as many as there are.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    /// A piece that begins with its length: up to 255 bytes.
    pub fn piece(&mut self) -> Bytes {
        let length = usize::from(self.byte());
        Bytes::copy_from_slice(self.take(length))
    }

    /// Everything that is left.
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

    /// A number that is most often within a few of `of`, sometimes at an edge of the type, and
    /// sometimes anything.
    pub fn near(&mut self, of: u64) -> u64 {
        match self.byte() {
            chosen @ 0..=199 => of.wrapping_add(u64::from(chosen % 9)).wrapping_sub(4),
            chosen @ 200..=247 => EDGES[usize::from(chosen) % EDGES.len()],
            248.. => self.number(),
        }
    }

    /// The same, signed.
    pub fn near_signed(&mut self, of: i64) -> i64 {
        self.near(of.cast_unsigned()).cast_signed()
    }
}
