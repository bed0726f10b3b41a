//! The keys that a request selects.

use bytes::Bytes;

use crate::layout;

/// The keys that a request selects: `key` and `range_end` of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRange {
    /// One key.
    One(Bytes),
    /// From the first key, included, to the second, excluded. Empty if the second is not greater.
    Between(Bytes, Bytes),
    /// From this key on.
    From(Bytes),
}

impl KeyRange {
    /// Builds a range from the two fields of a request. An empty `range_end` selects the key alone;
    /// a single zero byte means "no end".
    pub fn of(key: &Bytes, range_end: &Bytes) -> KeyRange {
        match &range_end[..] {
            [] => KeyRange::One(key.clone()),
            [0] => KeyRange::From(key.clone()),
            _ => KeyRange::Between(key.clone(), range_end.clone()),
        }
    }

    /// Returns the range of all keys that begin with `prefix`.
    pub fn prefix(prefix: Bytes) -> KeyRange {
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return KeyRange::Between(prefix, end.into());
            }
        }
        KeyRange::From(prefix)
    }

    /// Returns the end as the field `range_end` of a request has it.
    pub fn range_end(&self) -> Bytes {
        match self {
            KeyRange::One(_) => Bytes::new(),
            KeyRange::Between(_, end) => end.clone(),
            KeyRange::From(_) => Bytes::from_static(b"\0"),
        }
    }

    /// The part of the range from `start` on.
    pub(crate) fn from(&self, start: Bytes) -> KeyRange {
        match self {
            // The half-open interval that ends right after the key.
            KeyRange::One(key) => KeyRange::Between(start, successor(key)),
            KeyRange::Between(_, end) => KeyRange::Between(start, end.clone()),
            KeyRange::From(_) => KeyRange::From(start),
        }
    }

    pub(crate) fn start(&self) -> &Bytes {
        let (KeyRange::One(start) | KeyRange::Between(start, _) | KeyRange::From(start)) = self;
        start
    }

    /// Returns true if `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            KeyRange::One(one) => one == key,
            KeyRange::Between(start, end) => start <= key && key < &end[..],
            KeyRange::From(start) => start <= key,
        }
    }

    /// Returns true if the range cannot contain a key.
    pub fn is_empty(&self) -> bool {
        matches!(self, KeyRange::Between(start, end) if end <= start)
    }

    /// Bounds of the range's keys: the first is inclusive, the second exclusive.
    pub(crate) fn bounds(&self) -> (&Bytes, Option<Bytes>) {
        let end = match self {
            KeyRange::One(key) => Some(successor(key)),
            KeyRange::Between(_, end) => Some(end.clone()),
            KeyRange::From(_) => None,
        };
        (self.start(), end)
    }

    /// Bounds of the range's rows in `OLD`, likewise.
    pub(crate) fn old_bounds(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let escaped = |key: &[u8]| {
            let mut out = Vec::with_capacity(key.len() + 8);
            layout::escape_key(key, &mut out);
            out
        };
        let (start, end) = self.bounds();
        (escaped(start), end.map(|end| escaped(&end)))
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

    /// A single key matches only that key, not all keys from it on (the bug in etcd's
    /// GHSA-xg4h-6gfc-h4m8).
    #[test]
    fn a_range_holds_its_keys_only() {
        let one = KeyRange::One("b".into());
        assert!(one.contains(b"b") && !one.contains(b"ba") && !one.contains(b"a"));
        let between = KeyRange::Between("b".into(), "d".into());
        assert!(between.contains(b"b") && between.contains(b"czz") && !between.contains(b"d"));
        assert!(KeyRange::From("b".into()).contains(b"\xff") && !one.contains(b"\xff"));
    }

    #[test]
    fn a_prefix_ends_before_the_next() {
        assert_eq!(
            KeyRange::prefix("ab".into()),
            KeyRange::Between("ab".into(), "ac".into())
        );
        let high = Bytes::from_static(b"a\xff");
        assert_eq!(
            KeyRange::prefix(high.clone()),
            KeyRange::Between(high, "b".into())
        );
        assert_eq!(KeyRange::prefix("".into()), KeyRange::From("".into()));
    }

    #[test]
    fn a_range_is_written_as_it_was_read() {
        for end in ["", "\0", "d"] {
            assert_eq!(KeyRange::of(&bytes("b"), &bytes(end)).range_end(), end);
        }
    }

    #[test]
    fn bounds_hold_the_rows_of_the_range_only() {
        let (from, to) = KeyRange::of(&bytes("b"), &bytes("")).old_bounds();
        let to = to.expect("a point has an end");
        for (key, inside) in [
            ("b", true),
            ("a\u{7f}", false),
            ("b\0", false),
            ("ba", false),
        ] {
            let row = layout::old_key(key.as_bytes(), crate::Revision(7));
            assert_eq!(from <= row && row < to, inside, "{key:?}");
        }
    }
}
