//! The keys of a request.

use bytes::Bytes;

use crate::api::RangeRequest;

/// A single key or an interval of keys, in the API's encoding: `end` is exclusive. An empty `end`
/// means the key alone, and a single zero byte means "to the last key".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The key, or the first of the interval.
    pub key: Bytes,
    /// The end of the interval, exclusive.
    pub end: Bytes,
}

impl Keys {
    /// One key.
    pub fn one(key: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            end: Bytes::new(),
        }
    }

    /// All keys that start with `prefix`; all keys if the prefix is empty.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let prefix = prefix.into();
        let end = after_prefix(&prefix);
        match prefix.is_empty() {
            true => Self {
                key: Bytes::from_static(&[0]),
                end,
            },
            false => Self { key: prefix, end },
        }
    }

    /// The request that reads the keys.
    pub(crate) fn into_range(self) -> RangeRequest {
        RangeRequest {
            key: self.key,
            range_end: self.end,
            ..Default::default()
        }
    }

    /// The keys from `key` to `end`, without `end`.
    pub fn range(key: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            end: end.into(),
        }
    }

    /// The key and all keys after it. (`Keys::from(key)` is the key alone, as everywhere where a
    /// key is given for keys.)
    pub fn from_key(key: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            end: Bytes::from_static(&[0]),
        }
    }
}

impl<T: Into<Bytes>> From<T> for Keys {
    fn from(key: T) -> Self {
        Self::one(key)
    }
}

/// Returns the first key after all keys that start with `prefix`: the last byte that can be
/// incremented is incremented, and the rest dropped. If no byte can, no key comes after, which the
/// API writes as a zero byte.
fn after_prefix(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|&byte| byte < u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end.into()
        }
        None => Bytes::from_static(&[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        assert_eq!(Keys::prefix("ab"), Keys::range("ab", "ac"));
        assert_eq!(
            Keys::prefix(vec![b'a', 0xff]),
            Keys::range(vec![b'a', 0xff], "b")
        );
    }

    #[test]
    fn a_key_is_itself_alone() {
        assert_eq!(Keys::from("a"), Keys::one("a"));
        assert_eq!(Keys::from_key("a"), Keys::range("a", vec![0]));
    }

    #[test]
    fn a_prefix_nothing_can_follow_is_open() {
        assert_eq!(
            Keys::prefix(vec![0xff, 0xff]),
            Keys::from_key(vec![0xff, 0xff])
        );
        assert_eq!(Keys::prefix(""), Keys::from_key(vec![0]));
    }
}
