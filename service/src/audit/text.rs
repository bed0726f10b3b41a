//! Bytes and names of clients as text: readable, unambiguous, and bounded.
//!
//! A key that is printable text is shown as it is. Every other byte is `\xNN`, and a backslash is
//! `\\`, so that two different keys never look the same. What is longer than its bound is cut, and
//! ends in `\+N`: N more bytes were left out.

use std::fmt::{self, Write as _};

/// The beginning of what a client sent, copied, so that a line does not keep a request in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    bytes: Box<[u8]>,
    left_out: usize,
}

impl Cut {
    /// Copies at most `bytes_max` bytes.
    pub(crate) fn new(bytes: &[u8], bytes_max: usize) -> Cut {
        let kept = &bytes[..bytes.len().min(bytes_max)];
        Cut {
            bytes: kept.into(),
            left_out: bytes.len() - kept.len(),
        }
    }

    /// The number of bytes that it holds.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if is_shown(c) => f.write_char(c)?,
                    c => write_bytes(f, c.encode_utf8(&mut [0; 4]).as_bytes())?,
                }
            }
            write_bytes(f, chunk.invalid())?;
        }
        match self.left_out {
            0 => Ok(()),
            left_out => write!(f, "\\+{left_out}"),
        }
    }
}

/// Letters and symbols that are blank: fillers of Hangul and an empty pattern of Braille.
const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];

/// Returns true for characters that a reader sees. The others may hide in a line or turn it around,
/// as those that change the direction of writing do.
fn is_shown(c: char) -> bool {
    let is_plain = matches!(c, '"' | '\'') || c.escape_debug().len() == 1;
    is_plain && !BLANK.contains(&c)
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        Cut::new(bytes, 8).to_string()
    }

    #[test]
    fn keys_are_readable_and_unambiguous() {
        for (key, expected) in [
            (&b"/a/b c"[..], "/a/b c"),
            ("größe".as_bytes(), "größe"),
            (b"", ""),
            (b"\0", "\\x00"),
            (b"a\nb", "a\\x0ab"),
            (b"\xff\xfea", "\\xff\\xfea"),
            // A backslash of the key's own is not one of ours.
            (b"\\xff", "\\\\xff"),
            (b"\"'", "\"'"),
            // Writes what follows from right to left.
            ("\u{202e}ab".as_bytes(), "\\xe2\\x80\\xaeab"),
            ("a\u{3164}".as_bytes(), "a\\xe3\\x85\\xa4"),
            // The first two bytes of a character with three.
            ("€".as_bytes().split_at(2).0, "\\xe2\\x82"),
        ] {
            assert_eq!(shown(key), expected, "{key:?}");
        }
    }

    #[test]
    fn long_keys_are_cut_and_say_so() {
        assert_eq!(shown(b"12345678"), "12345678");
        assert_eq!(shown(b"123456789"), "12345678\\+1");
        // The cut goes through a character.
        assert_eq!(shown("1234567€".as_bytes()), "1234567\\xe2\\+2");
    }
}
