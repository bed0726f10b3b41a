//! The keys that a request selects.

use bytes::Bytes;

use crate::layout;

/// A single key or an interval of keys: `key` and `range_end` of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyRange {
    /// One key.
    Point(Bytes),
    /// `start <= key < end`; without an end, all keys from `start` on. Empty if `end <= start`.
    Interval { start: Bytes, end: Option<Bytes> },
}

impl KeyRange {
    /// An empty `range_end` selects the key alone; a single zero byte means "no end".
    pub(crate) fn of(key: &Bytes, range_end: &Bytes) -> KeyRange {
        match &range_end[..] {
            [] => KeyRange::Point(key.clone()),
            [0] => KeyRange::Interval {
                start: key.clone(),
                end: None,
            },
            _ => KeyRange::Interval {
                start: key.clone(),
                end: Some(range_end.clone()),
            },
        }
    }

    /// The part of the range from `start` on.
    pub(crate) fn from(&self, start: Bytes) -> KeyRange {
        match self {
            KeyRange::Point(key) => {
                // The half-open interval that ends right after the key.
                KeyRange::Interval {
                    start,
                    end: Some(successor(key)),
                }
            }
            KeyRange::Interval { end, .. } => KeyRange::Interval {
                start,
                end: end.clone(),
            },
        }
    }

    pub(crate) fn start(&self) -> &Bytes {
        match self {
            KeyRange::Point(key) => key,
            KeyRange::Interval { start, .. } => start,
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match self {
            KeyRange::Point(point) => point == key,
            KeyRange::Interval { start, end } => {
                start <= key && end.as_ref().is_none_or(|end| key < &end[..])
            }
        }
    }

    /// True when the range cannot contain a key.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, KeyRange::Interval { start, end: Some(end) } if end <= start)
    }

    /// Bounds of the range's rows in `KV`: the first is inclusive, the second exclusive.
    pub(crate) fn kv_bounds(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let escaped = |key: &[u8]| {
            let mut out = Vec::with_capacity(key.len() + 8);
            layout::escape_key(key, &mut out);
            out
        };
        match self {
            KeyRange::Point(key) => (escaped(key), Some(escaped(&successor(key)))),
            KeyRange::Interval { start, end } => {
                (escaped(start), end.as_ref().map(|end| escaped(end)))
            }
        }
    }
}

/// The key right after `key`: no other key sorts between them.
pub(crate) fn successor(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn range_end_has_three_meanings() {
        let point = KeyRange::of(&bytes("b"), &bytes(""));
        assert!(point.contains(b"b") && !point.contains(b"b\0") && !point.contains(b"c"));
        let rest = KeyRange::of(&bytes("b"), &bytes("\0"));
        assert!(rest.contains(b"b") && rest.contains(b"\xff\xff") && !rest.contains(b"a"));
        let some = KeyRange::of(&bytes("b"), &bytes("d"));
        assert!(some.contains(b"c\xff") && !some.contains(b"d"));
        assert!(KeyRange::of(&bytes("b"), &bytes("b")).is_empty());
        assert!(!some.is_empty());
    }

    #[test]
    fn bounds_hold_the_rows_of_the_range_only() {
        let (from, to) = KeyRange::of(&bytes("b"), &bytes("")).kv_bounds();
        let to = to.expect("a point has an end");
        for (key, inside) in [
            ("b", true),
            ("a\u{7f}", false),
            ("b\0", false),
            ("ba", false),
        ] {
            let row = layout::kv_key(key.as_bytes(), crate::Revision(7));
            assert_eq!(from <= row && row < to, inside, "{key:?}");
        }
    }
}
