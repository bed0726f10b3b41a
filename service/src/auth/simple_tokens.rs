//! Simple tokens: 16 random letters and a log index, `hTQYyHexzQBHWnqW.28`.
//!
//! The member that a client logs in to draws the letters ([`prefix`]) and proposes the login with
//! their digest. The index of its log entry completes the token ([`token`]). A client may show its
//! token to a member that has not applied the login yet, so a member first waits for the index that
//! the token has ([`index_of`]). [`conclave_core::logins`] remembers the logins.

use conclave_core::seed::Seed;

const PREFIX_LETTERS: usize = 16;
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Draws the random part of a token. Whoever can predict the numbers of `seed` can guess tokens, so
/// it must be the system's.
pub(crate) fn prefix(seed: &dyn Seed) -> String {
    let mut drawn = String::with_capacity(PREFIX_LETTERS);
    while drawn.len() < PREFIX_LETTERS {
        let bytes = seed.next().to_le_bytes();
        let letters = bytes.iter().filter_map(|byte| {
            // Six bits, so that 52 of 64 draws are a letter and each letter is as likely.
            LETTERS.get(usize::from(byte & 0x3f))
        });
        let missing = PREFIX_LETTERS - drawn.len();
        drawn.extend(letters.take(missing).map(|&letter| char::from(letter)));
    }
    drawn
}

/// Makes a token of its random part and the index of the log entry that has it.
pub(crate) fn token(prefix: &str, index: u64) -> String {
    format!("{prefix}.{index}")
}

/// Returns the index in a token, or `None` for text that is no simple token.
pub(crate) fn index_of(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    // `parse` would accept a sign.
    let is_number = index.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| index.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use conclave_core::seed::Sequence;

    use super::*;

    #[test]
    fn a_prefix_has_16_letters_that_depend_on_all_numbers() {
        let seed = Sequence::new(7);
        let drawn: Vec<_> = (0..1000).map(|_| prefix(&seed)).collect();
        for text in &drawn {
            assert_eq!(text.len(), 16);
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphabetic()),
                "{text}"
            );
        }
        let different: BTreeSet<_> = drawn.iter().collect();
        assert_eq!(different.len(), drawn.len());
        assert_eq!(prefix(&Sequence::new(7)), drawn[0]);
        // 16,000 letters, so 308 of each, with a standard deviation of 17.
        let letters = drawn.concat();
        for letter in LETTERS {
            let count = letters.bytes().filter(|byte| byte == letter).count();
            assert!(
                (220..400).contains(&count),
                "{} {count}",
                char::from(*letter)
            );
        }
    }

    #[test]
    fn a_token_names_its_index() {
        assert_eq!(token("hTQYyHexzQBHWnqW", 28), "hTQYyHexzQBHWnqW.28");
        let cases = [
            ("hTQYyHexzQBHWnqW.28", Some(28)),
            ("a.18446744073709551615", Some(u64::MAX)),
            ("a.18446744073709551616", None),
            ("a.0", Some(0)),
            (".7", Some(7)),
            ("a.", None),
            ("a", None),
            ("", None),
            ("a.+7", None),
            ("a.-7", None),
            ("a. 7", None),
            ("a.7.7", None),
            ("header.claims.signature", None),
        ];
        for (token, expected) in cases {
            assert_eq!(index_of(token), expected, "{token}");
        }
    }
}
