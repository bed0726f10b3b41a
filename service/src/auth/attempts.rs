//! A bound on guesses of passwords from one address.
//!
//! After [`Limits::failures_max`] failed logins within [`Limits::window`], an address is refused
//! for [`Limits::refusal`], with [`Refused`], which says until when:
//!
//! ```text
//!   check ──▶ passwords::Hasher::verify ──▶ settle ──▶ answer
//!     └── refused                             └── refused
//! ```
//!
//! [`Attempts::check`] spares the hash. [`Attempts::settle`] decides again once the password has
//! been checked, and while an address is refused, it refuses the right password like a wrong one.
//! So logins that began together do not get more answers than the bound allows.
//!
//! A successful login does not reset the count; otherwise someone with a user of their own could
//! guess the passwords of others without bound.
//!
//! An address is an [`Origin`]. There is no bound for each user, because with it anyone could lock
//! users out.
//!
//! # Memory
//!
//! An address is forgotten at the end of its window or refusal. At most
//! [`Limits::addresses_max`] are kept; beyond it the one that would be forgotten first is.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use crate::net::origin::Origin;
use conclave_core::clock::Moment;

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Failed logins after which an address is refused.
    pub(crate) failures_max: u32,
    /// The time in which they are counted, from the first one on.
    pub(crate) window: Duration,
    /// How long the address is refused then.
    pub(crate) refusal: Duration,
    /// Addresses that are remembered.
    pub(crate) addresses_max: usize,
}

impl Default for Limits {
    /// 20 guesses per minute at most, 28,800 per day. A misconfigured program that fails at every
    /// login keeps others at its address out for a minute at a time, not for longer.
    fn default() -> Limits {
        Limits {
            failures_max: 20,
            window: Duration::from_secs(60),
            refusal: Duration::from_secs(60),
            addresses_max: 1 << 16,
        }
    }
}

/// The login is refused, whatever its password. For clients: `ResourceExhausted`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("etcdserver: too many failed logins from {origin}, try again in {seconds_left} s")]
pub(crate) struct Refused {
    origin: Origin,
    seconds_left: u64,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// The end of the window, or of the refusal: the first moment that no longer belongs to it.
    end: Moment,
}

/// The addresses with failed logins.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    limits: Limits,
    failures: HashMap<Origin, Failures>,
    /// The same addresses by the end of their failures.
    ends: BTreeSet<(Moment, Origin)>,
}

impl Attempts {
    pub(crate) fn new(limits: Limits) -> Attempts {
        Attempts {
            limits,
            ..Attempts::default()
        }
    }

    /// Returns whether a login from this address may be tried. `None` is a Unix socket.
    pub(crate) fn check(&self, remote: Option<IpAddr>, now: Moment) -> Result<(), Refused> {
        let origin = Origin::of(remote);
        match self.failures.get(&origin) {
            Some(failures) if failures.count >= self.limits.failures_max && now < failures.end => {
                let left = failures.end.since(now);
                Err(Refused {
                    origin,
                    seconds_left: left.as_millis().div_ceil(1_000) as u64,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a login whose password has been checked. Returns whether the client may know the
    /// result.
    pub(crate) fn settle(
        &mut self,
        remote: Option<IpAddr>,
        fits: bool,
        now: Moment,
    ) -> Result<(), Refused> {
        self.check(remote, now)?;
        if !fits {
            self.count(Origin::of(remote), now);
        }
        Ok(())
    }

    fn count(&mut self, origin: Origin, now: Moment) {
        self.forget(now);
        let Failures { count, end } = self.failures.remove(&origin).unwrap_or(Failures {
            count: 0,
            end: now.after(self.limits.window),
        });
        self.ends.remove(&(end, origin));
        let count = count + 1;
        let mut failures = Failures { count, end };
        if count >= self.limits.failures_max {
            failures.end = now.after(self.limits.refusal);
            let seconds = self.limits.refusal.as_secs();
            tracing::warn!("{count} logins from {origin} failed: refusing logins for {seconds} s");
        }
        if self.failures.len() >= self.limits.addresses_max
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.failures.remove(&first);
        }
        self.failures.insert(origin, failures);
        self.ends.insert((failures.end, origin));
    }

    /// Removes the addresses whose time has ended.
    fn forget(&mut self, now: Moment) {
        while let Some(&(end, origin)) = self.ends.first() {
            if now < end {
                break;
            }
            self.ends.pop_first();
            self.failures.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 failures within 10 s, then 30 s.
    const LIMITS: Limits = Limits {
        failures_max: 3,
        window: Duration::from_secs(10),
        refusal: Duration::from_secs(30),
        addresses_max: 100,
    };

    /// A login: what the password was, and whether the client got to know it.
    #[derive(Clone, Copy, Debug)]
    enum Login {
        Right,
        Wrong,
    }
    use Login::{Right, Wrong};

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn login(attempts: &mut Attempts, remote: &str, login: Login, now: u64) -> Option<u64> {
        let (remote, now) = (address(remote), Moment(now));
        let answer = attempts
            .check(remote, now)
            .and_then(|()| attempts.settle(remote, matches!(login, Right), now));
        answer.err().map(|refused| refused.seconds_left)
    }

    /// Logins from one address: when, which, and the seconds for which it is refused, if it is.
    type Case = (&'static str, &'static [(u64, Login, Option<u64>)]);

    const CASES: &[Case] = &[
        (
            "after the last failure that is allowed, answers are withheld",
            &[
                (0, Wrong, None),
                (1, Wrong, None),
                (2, Wrong, None),
                (2, Wrong, Some(30)),
                (3, Wrong, Some(30)),
                (1_002, Wrong, Some(29)),
                (30_001, Wrong, Some(1)),
                (30_002, Wrong, None),
            ],
        ),
        (
            "the right password is refused, too",
            &[
                (0, Wrong, None),
                (0, Wrong, None),
                (0, Wrong, None),
                (5, Right, Some(30)),
                (29_999, Right, Some(1)),
                (30_000, Right, None),
            ],
        ),
        (
            "after the refusal the count begins at zero",
            &[
                (0, Wrong, None),
                (0, Wrong, None),
                (0, Wrong, None),
                (30_000, Wrong, None),
                (30_000, Wrong, None),
                (30_000, Wrong, None),
                (30_000, Wrong, Some(30)),
            ],
        ),
        (
            "a success does not reset the count",
            &[
                (0, Wrong, None),
                (1, Wrong, None),
                (2, Right, None),
                (3, Wrong, None),
                (4, Right, Some(30)),
            ],
        ),
        (
            "a failure is forgotten with its window",
            &[
                (0, Wrong, None),
                (9_998, Wrong, None),
                (10_000, Wrong, None),
                (10_000, Wrong, None),
                (10_000, Right, None),
                (10_000, Wrong, None),
                (10_000, Wrong, Some(30)),
            ],
        ),
        (
            "successes are not bounded",
            &[
                (0, Right, None),
                (0, Right, None),
                (0, Right, None),
                (0, Right, None),
                (0, Right, None),
            ],
        ),
    ];

    #[test]
    fn guesses_are_bounded() {
        for (name, logins) in CASES {
            let mut attempts = Attempts::new(LIMITS);
            for (now, which, refused) in *logins {
                let found = login(&mut attempts, "10.0.0.7", *which, *now);
                assert_eq!(found, *refused, "{name}: {which:?} at {now}");
            }
        }
    }

    /// The checks of many guesses may run when the first of them fails.
    #[test]
    fn guesses_at_the_same_time_are_bounded() {
        let mut attempts = Attempts::new(LIMITS);
        let remote = address("10.0.0.7");
        let begun = (0..100).filter(|_| attempts.check(remote, Moment(0)).is_ok());
        assert_eq!(begun.count(), 100);
        // The last one is right.
        let known = (0..100)
            .filter(|n| attempts.settle(remote, *n == 99, Moment(5)).is_ok())
            .count();
        assert_eq!(known, 3);
    }

    #[test]
    fn addresses_are_counted_apart() {
        // Two addresses, and whether they count as one.
        let cases = [
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("10.0.0.7", "::ffff:10.0.0.7", true),
            ("2001:db8:0:1::7", "2001:db8:0:1:ffff::8", true),
            ("2001:db8:0:1::7", "2001:db8:0:2::7", false),
            ("127.0.0.1", "::1", false),
        ];
        for (one, other, same) in cases {
            let mut attempts = Attempts::new(LIMITS);
            for _ in 0..3 {
                assert_eq!(login(&mut attempts, one, Wrong, 0), None);
            }
            let refused = login(&mut attempts, other, Right, 0).is_some();
            assert_eq!(refused, same, "{one} {other}");
            assert!(attempts.check(None, Moment(0)).is_ok());
        }
    }

    #[test]
    fn unix_sockets_are_bounded_too() {
        let mut attempts = Attempts::new(LIMITS);
        for _ in 0..3 {
            assert_eq!(attempts.settle(None, false, Moment(0)), Ok(()));
        }
        let refused = attempts.check(None, Moment(0)).unwrap_err();
        assert!(
            refused.to_string().contains("from Unix sockets"),
            "{refused}"
        );
    }

    #[test]
    fn the_text_says_who_is_refused_and_until_when() {
        let cases = [
            ("10.0.0.7", "10.0.0.7"),
            ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
            ("::1", "::1"),
        ];
        for (remote, shown) in cases {
            let mut attempts = Attempts::new(LIMITS);
            for _ in 0..3 {
                login(&mut attempts, remote, Wrong, 0);
            }
            let refused = attempts.check(address(remote), Moment(500)).unwrap_err();
            let expected =
                format!("etcdserver: too many failed logins from {shown}, try again in 30 s");
            assert_eq!(refused.to_string(), expected);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::new(LIMITS);
        let nth = |n: u32| Some(IpAddr::V4((0x0a00_0000 + n).into()));
        for n in 0..1_000 {
            // A moment each, all in one window.
            attempts
                .settle(nth(n), false, Moment(u64::from(n)))
                .unwrap();
            assert!(attempts.failures.len() <= 100);
            assert_eq!(attempts.failures.len(), attempts.ends.len());
        }
        // Those that are remembered are the latest.
        let first = Origin::of(nth(900));
        assert!(attempts.failures.contains_key(&first));
        // Later all are forgotten, but the one that fails then.
        attempts.settle(nth(0), false, Moment(100_000)).unwrap();
        assert_eq!((attempts.failures.len(), attempts.ends.len()), (1, 1));
    }

    #[test]
    fn the_defaults_bound_a_day_of_guesses() {
        let mut attempts = Attempts::new(Limits::default());
        let mut answered = 0;
        // A guess every 50 ms for a day.
        for now in (0..24 * 3_600 * 1_000).step_by(50) {
            if attempts.settle(None, false, Moment(now)).is_ok() {
                answered += 1;
            }
        }
        assert!((20_000..=28_800).contains(&answered), "{answered}");
    }
}
