//! Limits on what one user and one address may use of a member.
//!
//! Without limits, one client with many connections takes as much of a member as all others
//! together. The limits are per member, and off by default. A user is one of etcd's users, so these
//! limits have an effect while authentication is enabled; an address is an [`Origin`].
//!
//! ```text
//!   call ─▶ begin ─▶ Ticket ─┬─ moved(bytes): of a call         dropped: the stream is closed
//!             │              └─ reserve(amount): a stream waits
//!             └── Refused: who, which limit, and its flag
//! ```
//!
//! - *Requests per second*: calls that begin. A second's worth may come at once.
//! - *Bytes per second*: of requests and replies, compressed as they come. Nobody knows beforehand
//!   how large a reply is. So a call begins if there is anything left, and what it uses beyond that
//!   is paid before the next one begins, up to [`DEBT_MAX_NS`]: one large reply must not lock its
//!   user out for hours.
//! - *Streams*: streaming calls that are open, and calls that wait for a lock or an election.
//! - *Watches*: watchers of all watch streams.
//!
//! # Streams are slowed down
//!
//! What others write decides how many events a watcher gets, and a client does not expect that a
//! stream which was accepted fails. So streams are not refused what they use but wait for it: each
//! part of a stream reserves its place in the account's [`Pace`] and passes when its turn has come.
//! The reservations of streams are in paces of their own, so events never lead to refused calls.
//! The messages of a watch stream, which create and cancel watchers, wait as well: as many pass in
//! a second as calls may begin.
//!
//! # Locks are kept
//!
//! A client that has used up a limit must not lose its locks for that, nor keep others waiting for
//! them. Keep-alives of leases are never refused, and only their own bytes slow them down.
//! Revocations, unlocks and resignations have a pace of their own, with the limit of requests.
//!
//! # Rates
//!
//! A [`Pace`] is the moment up to which what was used is paid, in one atomic integer. With 100
//! requests per second, a request moves it by 10 ms; if it would be more than a second ahead of the
//! clock, the request is refused. That is the generic cell rate algorithm. The crate `governor` has
//! it as well, but not a use that is known only afterwards and may exceed a second's worth.
//!
//! # Memory
//!
//! An account is forgotten when it has nothing open and its paces are paid, which takes a second
//! for requests: a new one is the same. So accounts grow with those who call within a second, up to
//! [`accounts::ACCOUNTS_MAX`]; beyond that all newcomers share one.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounterVec;

use crate::method::{Method, Shape};
use crate::net::origin::Origin;
use accounts::{Account, Accounts, Place};
use conclave_core::clock::Moment;
#[cfg(doc)]
use pace::{DEBT_MAX_NS, Pace};
use reports::Reports;

mod accounts;
mod pace;
mod reports;
#[cfg(test)]
mod tests;

/// The limits of users and addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// For each user.
    pub per_user: Limits,
    /// For each address.
    pub per_address: Limits,
}

/// The limits of one user or address; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls that begin in a second.
    pub requests_per_second: Option<NonZeroU64>,
    /// Bytes of requests and replies in a second.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Streaming calls, and calls that wait for a lock or an election, at a time.
    pub streams: Option<NonZeroU64>,
    /// Watchers at a time.
    pub watches: Option<NonZeroU64>,
}

impl Limits {
    fn are_none(&self) -> bool {
        *self == Limits::default()
    }
}

/// A limited resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Requests,
    /// Of locks: revocations of leases, unlocks, resignations.
    Releases,
    Bytes,
    Streams,
    Watches,
}

impl Resource {
    const ALL: [Resource; 5] = [
        Resource::Requests,
        Resource::Releases,
        Resource::Bytes,
        Resource::Streams,
        Resource::Watches,
    ];

    const fn flag_stem(self) -> &'static str {
        match self {
            Resource::Requests | Resource::Releases => "max-requests-per-second",
            Resource::Bytes => "max-bytes-per-second",
            Resource::Streams => "max-streams",
            Resource::Watches => "max-watches",
        }
    }
}

/// Scope of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    User,
    Address,
}

impl Scope {
    const ALL: [Scope; 2] = [Scope::User, Scope::Address];

    fn flag(self, resource: Resource) -> String {
        let scope = match self {
            Scope::User => "user",
            Scope::Address => "address",
        };
        format!("{}-per-{scope}", resource.flag_stem())
    }
}

/// A limit is reached. For clients: `ResourceExhausted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    who: Arc<str>,
    scope: Scope,
    resource: Resource,
    limit: NonZeroU64,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { who, limit, .. } = self;
        let flag = self.scope.flag(self.resource);
        match self.resource {
            Resource::Requests => write!(f, "conclave: {who} may make {limit} requests per second"),
            Resource::Releases => {
                write!(f, "conclave: {who} may make {limit} releases per second")
            }
            Resource::Bytes => write!(f, "conclave: {who} may move {limit} bytes per second"),
            Resource::Streams => write!(f, "conclave: {who} may have {limit} open streams"),
            Resource::Watches => write!(f, "conclave: {who} may have {limit} watches"),
        }?;
        write!(f, " (--{flag})")
    }
}

/// Kind of a call, by what it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Call,
    /// Open until a lock or an election is won.
    Wait,
    /// Gives back a lock or a lease.
    Release,
    Stream,
    KeepAlive,
}

impl Kind {
    fn of(method: Method) -> Kind {
        match method {
            Method::LeaseKeepAlive => Kind::KeepAlive,
            Method::LeaseRevoke | Method::Unlock | Method::Resign => Kind::Release,
            Method::Lock | Method::Campaign => Kind::Wait,
            _ => match method.shape() {
                Shape::Unary => Kind::Call,
                Shape::ServerStream | Shape::BidiStream => Kind::Stream,
            },
        }
    }
}

/// A part of a stream that waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// A part of either body.
    Bytes(usize),
    /// A message of the client.
    Message,
}

/// The accounts of a member. Its listeners share them.
pub(crate) struct FairUse {
    users: Accounts<Arc<str>>,
    addresses: Accounts<Origin>,
}

impl FairUse {
    /// Returns `None` if there are no limits. `refusals` counts calls and watchers that are
    /// refused, by the flag of the limit.
    pub(crate) fn new(settings: &Settings, refusals: &IntCounterVec) -> Option<FairUse> {
        let Settings {
            per_user,
            per_address,
        } = *settings;
        let reports = Arc::new(Reports::new(refusals));
        if per_user.are_none() && per_address.are_none() {
            return None;
        }
        Some(FairUse {
            users: Accounts::new(Scope::User, per_user, Arc::clone(&reports)),
            addresses: Accounts::new(Scope::Address, per_address, reports),
        })
    }

    /// Returns true if it matters who calls.
    pub(crate) fn limits_users(&self) -> bool {
        !self.users.limits().are_none()
    }

    /// Begins a call.
    pub(crate) fn begin(
        &self,
        method: Method,
        origin: Origin,
        user: Option<&Arc<str>>,
        now: Moment,
    ) -> Result<Ticket, Refused> {
        let of_address = || {
            self.addresses
                .account(&origin, || format!("the address {origin}"), now)
        };
        let of_user = |user: &Arc<str>| {
            self.users
                .account(user, || format!("the user {user:?}"), now)
        };
        let accounts = [
            (!self.addresses.limits().are_none()).then(of_address),
            user.filter(|_| self.limits_users()).map(of_user),
        ];
        let mut ticket = Ticket {
            kind: Kind::of(method),
            accounts,
            streams: [None, None],
        };
        ticket.begin(now)?;
        Ok(ticket)
    }
}

/// The use of one call.
#[derive(Debug)]
pub(crate) struct Ticket {
    kind: Kind,
    /// Of the address and of the user, as far as they are limited.
    accounts: [Option<Arc<Account>>; 2],
    streams: [Option<Place>; 2],
}

impl Ticket {
    fn begin(&mut self, now: Moment) -> Result<(), Refused> {
        for (account, stream) in self.accounts.iter().zip(&mut self.streams) {
            let Some(account) = account else {
                continue;
            };
            account.begin(self.kind, now)?;
            if matches!(self.kind, Kind::Stream | Kind::Wait) {
                *stream = Some(Place::take(account, Resource::Streams, now)?);
            }
        }
        Ok(())
    }

    /// Returns true if the bytes of the call wait for their turn, rather than being counted when
    /// they have [`moved`](Ticket::moved).
    pub(crate) fn reserves_bytes(&self) -> bool {
        let mut limited = self.accounts.iter().flatten();
        matches!(self.kind, Kind::Stream | Kind::KeepAlive)
            && limited.any(|account| account.limits.bytes_per_second.is_some())
    }

    /// Counts bytes that came or went.
    pub(crate) fn moved(&self, bytes: usize, now: Moment) {
        for account in self.accounts.iter().flatten() {
            account.moved(bytes, now);
        }
    }

    /// Takes the next turn for a part of a stream. Returns the time until it comes.
    pub(crate) fn reserve(&self, amount: Amount, now: Moment) -> Duration {
        let accounts = self.accounts.iter().flatten();
        let waits = accounts.map(|account| account.reserve(self.kind, amount, now));
        waits.max().unwrap_or_default()
    }

    /// Gives back a turn that was not used.
    pub(crate) fn give_back(&self, amount: Amount) {
        for account in self.accounts.iter().flatten() {
            account.give_back(self.kind, amount);
        }
    }

    /// Returns the places for the watchers of a stream.
    pub(crate) fn watches(&self) -> Watches {
        Watches {
            accounts: self.accounts.clone(),
            places: Vec::new(),
        }
    }
}

/// The watchers of one stream.
#[derive(Debug)]
pub(crate) struct Watches {
    accounts: [Option<Arc<Account>>; 2],
    places: Vec<Place>,
}

impl Watches {
    /// Takes the places for another watcher.
    pub(crate) fn add(&mut self, now: Moment) -> Result<(), Refused> {
        let limited = self.accounts.iter().flatten();
        let taken: Result<Vec<_>, _> = limited
            .filter(|account| account.limits.watches.is_some())
            .map(|account| Place::take(account, Resource::Watches, now))
            .collect();
        self.places.extend(taken?);
        Ok(())
    }

    /// Gives back all places but those of this many watchers.
    pub(crate) fn keep(&mut self, watchers: usize) {
        let limited = self.accounts.iter().flatten();
        let per_watcher = limited
            .filter(|account| account.limits.watches.is_some())
            .count();
        self.places.truncate(watchers * per_watcher);
    }
}
