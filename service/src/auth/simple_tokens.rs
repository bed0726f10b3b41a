//! Simple tokens: 16 random letters and a log index, `hTQYyHexzQBHWnqW.28`, kept in memory by every
//! member.
//!
//! The member that a client logs in to checks the password, draws the letters ([`prefix`]), and
//! proposes the login. Every member that applies the proposal adds the index of its log entry
//! ([`token`]) and puts the token into its [`SimpleTokens`]. A client may show its token to a
//! member that has not applied the login yet, so a member first waits for the index that the token
//! names ([`index_of`]).
//!
//! A token ends when it has not been used for `--auth-token-ttl`, by the clock of each member; when
//! its user is removed or gets another password; when authentication is disabled; and when the
//! member restarts.
//!
//! The number of tokens is bounded. Beyond the bound those that have not been used for the longest
//! time are dropped: their clients log in again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conclave_core::clock::Moment;
use conclave_core::seed::Seed;

/// Default of `--auth-token-ttl`.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// Tokens that are kept: about 20 MiB. At the rate of one thread that checks passwords of cost 10,
/// 20 per second, a TTL of 300 s has 6,000.
const TOKENS_MAX: usize = 100_000;
/// Expired tokens are removed once there are twice as many tokens as the last removal left, and at
/// least this many. So the removal costs little per login, and needs no timer.
const SWEEP_MIN: usize = 1024;

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

/// The tokens that this member accepts.
///
/// Reading needs no exclusive access, so that requests in parallel do not wait for each other.
#[derive(Debug)]
pub(crate) struct SimpleTokens {
    ttl: Duration,
    tokens_max: usize,
    tokens: HashMap<String, Token>,
    /// The number of tokens at which expired ones are removed.
    sweep_at: usize,
}

#[derive(Debug)]
struct Token {
    user: Arc<str>,
    /// The last millisecond of the token, as a [`Moment`].
    deadline: AtomicU64,
}

impl SimpleTokens {
    /// Creates an empty table. A `ttl` of zero stands for the default, as in etcd.
    pub(crate) fn new(ttl: Duration) -> SimpleTokens {
        SimpleTokens {
            ttl: if ttl.is_zero() { DEFAULT_TTL } else { ttl },
            tokens_max: TOKENS_MAX,
            tokens: HashMap::new(),
            sweep_at: SWEEP_MIN,
        }
    }

    /// Adds the token of a login.
    pub(crate) fn insert(&mut self, token: String, user: &str, now: Moment) {
        if self.tokens.len() >= self.sweep_at.min(self.tokens_max) {
            self.sweep(now);
        }
        let added = Token {
            user: Arc::from(user),
            deadline: AtomicU64::new(now.after(self.ttl).0),
        };
        self.tokens.insert(token, added);
    }

    /// Returns the user of a token that has not expired, and extends the token's time.
    pub(crate) fn find(&self, token: &str, now: Moment) -> Option<Arc<str>> {
        let found = self.tokens.get(token)?;
        if found.has_expired(now) {
            return None;
        }
        // The later deadline wins if two requests overtake each other.
        let deadline = now.after(self.ttl).0;
        found.deadline.fetch_max(deadline, Ordering::Relaxed);
        Some(Arc::clone(&found.user))
    }

    /// Removes all tokens of a user.
    pub(crate) fn remove_user(&mut self, user: &str) {
        // Looks at every token, a millisecond for all of them, which is rare.
        self.tokens.retain(|_, token| &*token.user != user);
    }

    /// Removes all tokens.
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.sweep_at = SWEEP_MIN;
    }

    /// The number of tokens, with expired ones that have not been removed yet.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Removes expired tokens, and if too many are left, a quarter of them.
    fn sweep(&mut self, now: Moment) {
        self.tokens.retain(|_, token| !token.has_expired(now));
        if self.tokens.len() >= self.tokens_max {
            let dropped = (self.tokens_max / 4).max(1);
            let deadlines = self.tokens.values().map(Token::deadline);
            let mut deadlines: Vec<_> = deadlines.collect();
            let (_, &mut last, _) = deadlines.select_nth_unstable(dropped - 1);
            self.tokens.retain(|_, token| token.deadline() > last);
            tracing::warn!(
                left = self.tokens.len(),
                "there are too many tokens: dropped those that were not used for the longest time"
            );
        }
        self.sweep_at = (self.tokens.len() * 2).max(SWEEP_MIN);
    }
}

impl Token {
    fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    fn has_expired(&self, now: Moment) -> bool {
        now.0 > self.deadline()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use conclave_core::seed::Sequence;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn table(tokens_max: usize) -> SimpleTokens {
        SimpleTokens {
            tokens_max,
            ..SimpleTokens::new(TTL)
        }
    }

    fn user(tokens: &SimpleTokens, token: &str, now: u64) -> Option<String> {
        tokens.find(token, Moment(now)).map(|user| user.to_string())
    }

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

    #[test]
    fn a_token_lives_while_it_is_used() {
        let mut tokens = table(10);
        tokens.insert("a.1".to_owned(), "alice", Moment(0));
        tokens.insert("b.2".to_owned(), "bob", Moment(0));
        let alice = Some("alice".to_owned());
        // Each use counts from then on, and one that comes late does not shorten the time.
        for now in [0, 10_000, 19_999, 19_000, 29_999] {
            assert_eq!(user(&tokens, "a.1", now), alice, "{now}");
        }
        for now in [40_000, 50_000] {
            assert_eq!(user(&tokens, "a.1", now), None, "{now}");
        }
        assert_eq!(user(&tokens, "b.2", 10_001), None);
        assert_eq!(user(&tokens, "c.3", 0), None);
    }

    #[test]
    fn a_ttl_of_zero_is_the_default() {
        let mut tokens = SimpleTokens::new(Duration::ZERO);
        tokens.insert("a.1".to_owned(), "alice", Moment(0));
        assert!(user(&tokens, "a.1", 300_000).is_some());
        assert!(user(&tokens, "a.1", 600_001).is_none());
    }

    #[test]
    fn all_tokens_of_a_user_end_at_once() {
        let mut tokens = table(10);
        for (token, user) in [("a.1", "alice"), ("b.2", "bob"), ("c.3", "alice")] {
            tokens.insert(token.to_owned(), user, Moment(0));
        }
        tokens.remove_user("alice");
        tokens.remove_user("nobody");
        assert_eq!(user(&tokens, "a.1", 0), None);
        assert_eq!(user(&tokens, "c.3", 0), None);
        assert!(user(&tokens, "b.2", 0).is_some());
        tokens.clear();
        assert_eq!(user(&tokens, "b.2", 0), None);
        assert_eq!(tokens.len(), 0);
    }

    #[test]
    fn expired_tokens_do_not_accumulate() {
        let mut tokens = table(TOKENS_MAX);
        for n in 0..50_000 {
            // 100 logins per second for 10 s: 1,000 are alive.
            tokens.insert(token("a", n), "alice", Moment(n * 10));
        }
        assert!(tokens.len() <= 2_100, "{}", tokens.len());
        assert!(user(&tokens, "a.49999", 499_990).is_some());
    }

    #[test]
    fn the_tokens_that_are_not_used_are_dropped_first() {
        let mut tokens = table(100);
        for n in 0..100 {
            tokens.insert(token("a", n), "alice", Moment(n));
        }
        // The oldest is in use.
        assert!(user(&tokens, "a.0", 200).is_some());
        tokens.insert(token("b", 1), "bob", Moment(200));
        assert_eq!(tokens.len(), 76);
        assert!(user(&tokens, "a.0", 200).is_some());
        assert!(user(&tokens, "b.1", 200).is_some());
        for n in 1..100 {
            assert_eq!(user(&tokens, &token("a", n), 200).is_some(), n > 25, "{n}");
        }
        // Tokens of one moment go together: the bound holds.
        for n in 0..1_000 {
            tokens.insert(token("c", n), "carol", Moment(300));
            assert!(tokens.len() <= 100);
        }
    }
}
