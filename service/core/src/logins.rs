//! The users who have logged in, by the digests of their tokens, in this member's memory.
//!
//! A login is an entry of the log, so every member learns of it, and a token that one member gave
//! is good at each. It ends after a time without use, which each member measures for itself, and
//! with a restart. A change of password, the deletion of the user and the disabling of
//! authentication end it too; they are entries as well, so they come in the same order everywhere.
//!
//! Only digests are kept: neither the log nor the memory of a member holds a token.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use conclave_storage::Index;
use conclave_storage::machine::LoginEffect;

use crate::clock::{Clock, Moment};
use crate::lease::Deadlines;
use crate::limits;

/// SHA-256 of the random part of a token.
pub type TokenDigest = [u8; 32];

/// A use within this time of the last one does not move the end of a login: etcd's resolution.
const RESOLUTION: Duration = Duration::from_secs(1);

/// The users who have logged in. Cheap to clone.
#[derive(Clone)]
pub struct Logins {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
}

/// The logins. Pure: time comes in as an argument.
#[derive(Default)]
struct Table {
    logins: BTreeMap<TokenDigest, Login>,
    ends: Deadlines<TokenDigest>,
}

struct Login {
    user: Arc<str>,
    /// The index of the entry, which is the end of the token's text.
    index: Index,
    ends_at: Moment,
}

impl Logins {
    /// Creates an empty table of logins that end after `ttl` without use.
    pub(crate) fn new(clock: Arc<dyn Clock>, ttl: Duration) -> Logins {
        Logins {
            shared: Arc::new(Shared {
                table: Mutex::default(),
                clock,
                ttl,
            }),
        }
    }

    /// Returns the user of a token, and restarts the TTL of the token.
    pub fn user_of(&self, digest: &TokenDigest, index: Index) -> Option<Arc<str>> {
        let Shared { table, clock, ttl } = &*self.shared;
        table.lock().user_of(digest, index, clock.now(), *ttl)
    }

    /// Called by the applier with the effects on logins, in commit order.
    pub(crate) fn applied(&self, effects: &[LoginEffect]) {
        if effects.is_empty() {
            return;
        }
        let Shared { table, clock, ttl } = &*self.shared;
        let now = clock.now();
        let mut table = table.lock();
        for effect in effects {
            match effect {
                LoginEffect::Began {
                    user,
                    token_digest,
                    index,
                } => {
                    // Any other length is not a digest, and no token has it.
                    if let Ok(digest) = token_digest[..].try_into() {
                        table.begin(digest, user, *index, now, *ttl);
                    }
                }
                LoginEffect::Ended { user } => table.end_all_of(user),
                LoginEffect::AllEnded => *table = Table::default(),
            }
        }
    }

    /// Ends all logins.
    pub(crate) fn clear(&self) {
        *self.shared.table.lock() = Table::default();
    }
}

impl Table {
    fn begin(&mut self, digest: TokenDigest, user: &str, index: Index, now: Moment, ttl: Duration) {
        while let Some(over) = self.ends.pop(now) {
            self.logins.remove(&over);
        }
        while self.logins.len() >= limits::LOGINS_MAX {
            // The one that would end first.
            let Some(over) = self.ends.pop(Moment(u64::MAX)) else {
                break;
            };
            self.logins.remove(&over);
        }
        self.end(&digest);
        let ends_at = now.after(ttl);
        self.ends.insert(ends_at, digest);
        let user = user.into();
        let login = Login {
            user,
            index,
            ends_at,
        };
        self.logins.insert(digest, login);
    }

    fn user_of(
        &mut self,
        digest: &TokenDigest,
        index: Index,
        now: Moment,
        ttl: Duration,
    ) -> Option<Arc<str>> {
        let login = self.logins.get_mut(digest)?;
        if login.index != index {
            return None;
        }
        if login.ends_at <= now {
            self.end(digest);
            return None;
        }
        let ends_at = now.after(ttl);
        if ends_at.since(login.ends_at) >= RESOLUTION {
            self.ends.remove(login.ends_at, *digest);
            self.ends.insert(ends_at, *digest);
            login.ends_at = ends_at;
        }
        Some(Arc::clone(&login.user))
    }

    fn end(&mut self, digest: &TokenDigest) {
        if let Some(login) = self.logins.remove(digest) {
            self.ends.remove(login.ends_at, *digest);
        }
    }

    fn end_all_of(&mut self, user: &str) {
        let mut ended = Vec::new();
        for (digest, login) in &self.logins {
            if *login.user == *user {
                ended.push(*digest);
            }
        }
        for digest in ended {
            self.end(&digest);
        }
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins")
            .field("count", &self.shared.table.lock().logins.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(300);

    fn digest(number: u32) -> TokenDigest {
        let mut digest = TokenDigest::default();
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    /// A table with the logins 1 (of alice, by entry 5) and 2 (of bob, by entry 6), both at 0 s.
    fn table() -> Table {
        let mut table = Table::default();
        table.begin(digest(1), "alice", Index(5), Moment(0), TTL);
        table.begin(digest(2), "bob", Index(6), Moment(0), TTL);
        table
    }

    fn user(table: &mut Table, number: u32, index: u64, seconds: u64) -> Option<String> {
        let now = Moment(seconds * 1000);
        let user = table.user_of(&digest(number), Index(index), now, TTL);
        user.map(|user| user.to_string())
    }

    #[test]
    fn a_token_is_good_until_it_was_not_used_for_its_time() {
        let mut table = table();
        assert_eq!(user(&mut table, 1, 5, 299).as_deref(), Some("alice"));
        assert_eq!(user(&mut table, 1, 5, 598).as_deref(), Some("alice"));
        assert_eq!(user(&mut table, 2, 6, 300), None);
        assert_eq!(user(&mut table, 1, 5, 898), None);
        // It does not come back.
        assert_eq!(user(&mut table, 1, 5, 0), None);
        assert!(table.logins.is_empty() || table.logins.len() == 1);
    }

    #[test]
    fn a_token_is_its_random_part_and_its_entry() {
        let mut table = table();
        assert_eq!(user(&mut table, 1, 6, 0), None);
        assert_eq!(user(&mut table, 3, 5, 0), None);
        assert_eq!(user(&mut table, 1, 5, 0).as_deref(), Some("alice"));
    }

    #[test]
    fn the_end_of_a_users_tokens_spares_the_others() {
        let mut table = table();
        table.begin(digest(3), "alice", Index(7), Moment(0), TTL);
        table.end_all_of("alice");
        assert_eq!(user(&mut table, 1, 5, 0), None);
        assert_eq!(user(&mut table, 3, 7, 0), None);
        assert_eq!(user(&mut table, 2, 6, 0).as_deref(), Some("bob"));
        assert_eq!(table.ends.pop(Moment(u64::MAX)), Some(digest(2)));
        assert_eq!(table.ends.pop(Moment(u64::MAX)), None);
    }

    #[test]
    fn the_number_of_logins_is_bounded() {
        let mut table = table();
        for number in 0..u32::try_from(limits::LOGINS_MAX).expect("it fits") {
            let now = Moment(u64::from(number) % 7 + 1);
            table.begin(digest(number + 10), "carol", Index(9), now, TTL);
        }
        assert_eq!(table.logins.len(), limits::LOGINS_MAX);
        // The first to end were given up.
        assert_eq!(user(&mut table, 1, 5, 1), None);
        // Those that are over make room.
        table.begin(digest(1), "alice", Index(10), Moment(400_000), TTL);
        assert_eq!(table.logins.len(), 1);
    }
}
