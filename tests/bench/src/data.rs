//! Keys and values.
//!
//! A key is a path-like prefix, the same for all, followed by the key's ordinal in twelve digits:
//! the shape of real keys, in the order of the ordinals. A value is a slice of random bytes from a
//! pool much larger than the window of any block compressor, so that it cannot be compressed, and
//! costs the generator only a copy.
//!
//! Everything is a function of the request's number, so a run can be repeated and no client needs a
//! random number generator.

use bytes::{BufMut, Bytes, BytesMut};
use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use serde::Serialize;

use crate::wire::Failure;

/// Digits of an ordinal; also the shortest key.
pub(crate) const DIGITS: usize = 12;
/// Size of the pool of random bytes, beyond the size of one value.
const POOL_BYTES: usize = 8 << 20;

/// How the key of a request is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// One after another, starting over at the end of the key space.
    Sequential,
    /// Uniformly at random.
    Random,
}

/// The keys of a run.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Bytes,
    space: u64,
    order: Order,
}

impl Keys {
    /// `space` keys of `size` bytes, under a prefix that begins with `name`.
    pub(crate) fn new(name: &str, size: usize, space: u64, order: Order) -> Result<Keys, Failure> {
        let filler = format!("{name}/").into_bytes();
        if size < DIGITS + filler.len() {
            let least = DIGITS + filler.len();
            return Err(Failure(format!(
                "keys of {size} bytes: the minimum is {least}"
            )));
        }
        if space == 0 || space >= 10u64.pow(DIGITS as u32) {
            return Err(Failure(format!(
                "a key space of {space} keys is not possible"
            )));
        }
        let prefix = filler.into_iter().cycle().take(size - DIGITS).collect();
        Ok(Keys {
            prefix,
            space,
            order,
        })
    }

    pub(crate) fn space(&self) -> u64 {
        self.space
    }

    /// The ordinal of the key that request `number` is for.
    pub(crate) fn ordinal(&self, number: u64) -> u64 {
        match self.order {
            Order::Sequential => number % self.space,
            Order::Random => mix(number) % self.space,
        }
    }

    /// The key at `ordinal`.
    pub(crate) fn key(&self, ordinal: u64) -> Bytes {
        let mut key = BytesMut::with_capacity(self.prefix.len() + DIGITS);
        key.put_slice(&self.prefix);
        let mut digits = [b'0'; DIGITS];
        let mut rest = ordinal;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        key.put_slice(&digits);
        key.freeze()
    }
}

/// The values of a run.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pool: Bytes,
    size: usize,
}

impl Values {
    pub(crate) fn new(size: usize) -> Values {
        let mut pool = vec![0; POOL_BYTES + size];
        SmallRng::seed_from_u64(0x5eed).fill_bytes(&mut pool);
        Values {
            pool: pool.into(),
            size,
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The value of request `number`.
    pub(crate) fn value(&self, number: u64) -> Bytes {
        let begin = (mix(!number) % POOL_BYTES as u64) as usize;
        self.pool.slice(begin..begin + self.size)
    }
}

/// Spreads neighbouring numbers over all 64 bits (the finalizer of splitmix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_size_and_order() {
        let keys = Keys::new("bench", 64, 1000, Order::Sequential).expect("a fine size");
        let (seventh, eighth) = (keys.key(7), keys.key(8));
        assert_eq!((seventh.len(), eighth.len()), (64, 64));
        assert!(seventh < eighth && eighth < keys.key(1000));
        assert!(seventh.starts_with(b"bench/bench/") && seventh.ends_with(b"000000000007"));
        assert_eq!(keys.ordinal(1007), 7);
    }

    #[test]
    fn keys_too_short_or_spaces_too_large_are_refused() {
        assert!(Keys::new("bench", 17, 10, Order::Random).is_err());
        assert!(Keys::new("bench", 18, 10, Order::Random).is_ok());
        assert!(Keys::new("bench", 18, 0, Order::Random).is_err());
        assert!(Keys::new("bench", 18, u64::MAX, Order::Random).is_err());
    }

    #[test]
    fn random_order_reaches_all_of_the_key_space() {
        let keys = Keys::new("bench", 32, 100, Order::Random).expect("a fine size");
        let mut seen = [false; 100];
        (0..2000).for_each(|number| seen[keys.ordinal(number) as usize] = true);
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn values_differ_and_repeat_by_number() {
        let values = Values::new(1024);
        assert_eq!(values.value(1).len(), values.size());
        assert_ne!(values.value(1), values.value(2));
        assert_eq!(values.value(3), Values::new(1024).value(3));
    }
}
