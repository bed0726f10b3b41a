//! Limits on what one user and one address may use of a member.
//!
//! Without limits, one client with many connections takes as much of a member as all others
//! together. The limits are per member, and off by default. A user is one of etcd's users, so these
//! limits have an effect while authentication is enabled; an address is an [`Origin`].
//!
//! ```text
//!   call ─▶ begin ─▶ Ticket ─── moved(bytes) ─── dropped: the stream is closed
//!             └── Refused: who, which limit, and its flag
//! ```
//!
//! - *Requests per second*: calls that begin. A second's worth may come at once.
//! - *Bytes per second*: of requests and replies, compressed as they come. Nobody knows beforehand
//!   how large a reply is. So a call begins if there is anything left, and what it uses beyond that
//!   is paid before the next one begins: the mean is at most the limit.
//! - *Streams*: streaming calls that are open.
//! - *Watches*: watchers of all watch streams.
//!
//! Keep-alives and revocations of leases are exempt ([`is_exempt`]): a client that has used up its
//! limit must not lose its locks for that, nor keep others waiting for them.
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
//! [`ACCOUNTS_MAX`]; beyond that all newcomers share one.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec};

use crate::method::{Method, Shape};
use crate::net::origin::Origin;
use conclave_core::clock::Moment;

#[cfg(test)]
mod tests;

/// Accounts of one kind that are kept.
const ACCOUNTS_MAX: usize = 1 << 16;
/// Number of accounts from which idle ones are looked for.
const ACCOUNTS_KEPT: usize = 1 << 10;
/// Time between two such searches, in milliseconds.
const SWEEP_INTERVAL_MS: u64 = 1_000;

/// How far a pace may be ahead of the clock, in nanoseconds.
const BURST_NS: u64 = 1_000_000_000;

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
    /// Streaming calls at a time.
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
pub(crate) enum Resource {
    Requests,
    Bytes,
    Streams,
    Watches,
}

impl Resource {
    const ALL: [Resource; 4] = [
        Resource::Requests,
        Resource::Bytes,
        Resource::Streams,
        Resource::Watches,
    ];

    const fn flag_stem(self) -> &'static str {
        match self {
            Resource::Requests => "max-requests-per-second",
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
            Resource::Bytes => write!(f, "conclave: {who} may move {limit} bytes per second"),
            Resource::Streams => write!(f, "conclave: {who} may have {limit} open streams"),
            Resource::Watches => write!(f, "conclave: {who} may have {limit} watches"),
        }?;
        write!(f, " (--{flag})")
    }
}

/// Returns true for calls that are never refused.
fn is_exempt(method: Method) -> bool {
    matches!(method, Method::LeaseKeepAlive | Method::LeaseRevoke)
}

/// The accounts of a member. Its listeners share them.
pub(crate) struct FairUse {
    users: Accounts<Arc<str>>,
    addresses: Accounts<Origin>,
    refusals: Refusals,
}

impl FairUse {
    /// Returns `None` if there are no limits. `refusals` counts calls and watchers that are
    /// refused, by the flag of the limit.
    pub(crate) fn new(settings: &Settings, refusals: &IntCounterVec) -> Option<FairUse> {
        let Settings {
            per_user,
            per_address,
        } = *settings;
        let refusals = Refusals::new(refusals);
        if per_user.are_none() && per_address.are_none() {
            return None;
        }
        Some(FairUse {
            users: Accounts::new(Scope::User, per_user),
            addresses: Accounts::new(Scope::Address, per_address),
            refusals,
        })
    }

    /// Returns true if it matters who calls.
    pub(crate) fn limits_users(&self) -> bool {
        !self.users.limits.are_none()
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
            (!self.addresses.limits.are_none()).then(of_address),
            user.filter(|_| self.limits_users()).map(of_user),
        ];
        let mut ticket = Ticket {
            accounts,
            streams: [None, None],
            refusals: self.refusals.clone(),
        };
        if is_exempt(method) {
            return Ok(ticket);
        }
        match ticket.begin(method, now) {
            Ok(()) => Ok(ticket),
            Err(refused) => Err(self.refusals.count(refused)),
        }
    }
}

/// The use of one call.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Of the address and of the user, as far as they are limited.
    accounts: [Option<Arc<Account>>; 2],
    streams: [Option<Place>; 2],
    refusals: Refusals,
}

impl Ticket {
    fn begin(&mut self, method: Method, now: Moment) -> Result<(), Refused> {
        for (account, stream) in self.accounts.iter().zip(&mut self.streams) {
            let Some(account) = account else {
                continue;
            };
            account.begin(now)?;
            match method.shape() {
                Shape::Unary => {}
                Shape::ServerStream | Shape::BidiStream => {
                    *stream = Some(Place::take(account, Resource::Streams)?);
                }
            }
        }
        Ok(())
    }

    /// Counts bytes that came or went.
    pub(crate) fn moved(&self, bytes: usize, now: Moment) {
        for account in self.accounts.iter().flatten() {
            if let Some(limit) = account.limits.bytes_per_second {
                account.bytes.charge(cost_ns(bytes as u64, limit), now);
            }
        }
    }

    /// Returns the places for the watchers of a stream.
    pub(crate) fn watches(&self) -> Watches {
        Watches {
            accounts: self.accounts.clone(),
            places: Vec::new(),
            refusals: self.refusals.clone(),
        }
    }
}

/// The watchers of one stream.
#[derive(Debug)]
pub(crate) struct Watches {
    accounts: [Option<Arc<Account>>; 2],
    places: Vec<Place>,
    refusals: Refusals,
}

impl Watches {
    /// Takes the places for another watcher.
    pub(crate) fn add(&mut self) -> Result<(), Refused> {
        let limited = self.accounts.iter().flatten();
        let taken: Result<Vec<_>, _> = limited
            .filter(|account| account.limits.watches.is_some())
            .map(|account| Place::take(account, Resource::Watches))
            .collect();
        match taken {
            Ok(taken) => {
                self.places.extend(taken);
                Ok(())
            }
            Err(refused) => Err(self.refusals.count(refused)),
        }
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

/// Counters of refusals by limit, as [`Scope::ALL`] and [`Resource::ALL`] list them.
#[derive(Clone, Debug)]
struct Refusals(Arc<[[IntCounter; Resource::ALL.len()]; Scope::ALL.len()]>);

impl Refusals {
    fn new(by_limit: &IntCounterVec) -> Refusals {
        let counters = Scope::ALL.map(|scope| {
            Resource::ALL.map(|resource| by_limit.with_label_values(&[&scope.flag(resource)]))
        });
        Refusals(Arc::new(counters))
    }

    fn count(&self, refused: Refused) -> Refused {
        self.0[refused.scope as usize][refused.resource as usize].inc();
        refused
    }
}

/// The use of one user or address.
#[derive(Debug)]
struct Account {
    who: Arc<str>,
    scope: Scope,
    limits: Limits,
    requests: Pace,
    bytes: Pace,
    streams: AtomicU64,
    watches: AtomicU64,
}

impl Account {
    fn begin(&self, now: Moment) -> Result<(), Refused> {
        if let Some(limit) = self.limits.bytes_per_second
            && self.bytes.is_behind(now)
        {
            return Err(self.refused(Resource::Bytes, limit));
        }
        match self.limits.requests_per_second {
            Some(limit) if !self.requests.take(cost_ns(1, limit), now) => {
                Err(self.refused(Resource::Requests, limit))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn refused(&self, resource: Resource, limit: NonZeroU64) -> Refused {
        Refused {
            who: Arc::clone(&self.who),
            scope: self.scope,
            resource,
            limit,
        }
    }

    /// Returns the number of open streams or watchers, and its limit.
    fn open(&self, resource: Resource) -> (&AtomicU64, Option<NonZeroU64>) {
        match resource {
            Resource::Watches => (&self.watches, self.limits.watches),
            Resource::Streams | Resource::Requests | Resource::Bytes => {
                (&self.streams, self.limits.streams)
            }
        }
    }

    /// Returns true if a new account would be the same.
    fn is_idle(&self, now: Moment) -> bool {
        self.requests.is_paid(now) && self.bytes.is_paid(now)
    }
}

/// One of the streams or watchers of an account, until it is dropped.
#[derive(Debug)]
struct Place {
    account: Arc<Account>,
    resource: Resource,
}

impl Place {
    fn take(account: &Arc<Account>, resource: Resource) -> Result<Place, Refused> {
        let (open, limit) = account.open(resource);
        let one_more = |taken: u64| match limit {
            Some(limit) if taken >= limit.get() => None,
            Some(_) | None => Some(taken + 1),
        };
        match (open.fetch_update(Relaxed, Relaxed, one_more), limit) {
            (Err(_), Some(limit)) => Err(account.refused(resource, limit)),
            (Ok(_), _) | (Err(_), None) => Ok(Place {
                account: Arc::clone(account),
                resource,
            }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.account.open(self.resource).0.fetch_sub(1, Relaxed);
    }
}

/// A use per second: the moment up to which it is paid, in nanoseconds.
#[derive(Debug, Default)]
struct Pace(AtomicU64);

impl Pace {
    /// Takes a use if it is at most a second ahead of the clock.
    fn take(&self, cost_ns: u64, now: Moment) -> bool {
        let now_ns = ns(now);
        let paid = |until: u64| {
            let until = until.max(now_ns).saturating_add(cost_ns);
            (until <= now_ns.saturating_add(BURST_NS)).then_some(until)
        };
        self.0.fetch_update(Relaxed, Relaxed, paid).is_ok()
    }

    /// Adds a use that has happened.
    fn charge(&self, cost_ns: u64, now: Moment) {
        let paid = |until: u64| Some(until.max(ns(now)).saturating_add(cost_ns));
        // Always some.
        let _ = self.0.fetch_update(Relaxed, Relaxed, paid);
    }

    /// Returns true if a second's worth and more is used.
    fn is_behind(&self, now: Moment) -> bool {
        self.0.load(Relaxed) >= ns(now).saturating_add(BURST_NS)
    }

    /// Returns true if all that was used is paid.
    fn is_paid(&self, now: Moment) -> bool {
        self.0.load(Relaxed) <= ns(now)
    }
}

fn ns(moment: Moment) -> u64 {
    moment.0.saturating_mul(1_000_000)
}

/// Returns how long this much use takes at a limit.
fn cost_ns(units: u64, per_second: NonZeroU64) -> u64 {
    let cost = u128::from(units) * u128::from(BURST_NS) / u128::from(per_second.get());
    u64::try_from(cost).unwrap_or(u64::MAX)
}

/// The accounts of all users, or of all addresses.
struct Accounts<K> {
    scope: Scope,
    limits: Limits,
    known: Mutex<Known<K>>,
}

struct Known<K> {
    accounts: HashMap<K, Arc<Account>>,
    /// The account of all who found no room for one of their own.
    shared: Option<Arc<Account>>,
    swept: Moment,
}

impl<K: Clone + Eq + Hash> Accounts<K> {
    fn new(scope: Scope, limits: Limits) -> Accounts<K> {
        Accounts {
            scope,
            limits,
            known: Mutex::new(Known {
                accounts: HashMap::new(),
                shared: None,
                swept: Moment::default(),
            }),
        }
    }

    /// Returns the account of one, who is called `who` in messages.
    fn account(&self, key: &K, who: impl FnOnce() -> String, now: Moment) -> Arc<Account> {
        let mut known = self.known.lock();
        if let Some(account) = known.accounts.get(key) {
            return Arc::clone(account);
        }
        let since_sweep = now.0.saturating_sub(known.swept.0);
        if known.accounts.len() >= ACCOUNTS_KEPT && since_sweep >= SWEEP_INTERVAL_MS {
            known.swept = now;
            let is_used = |account: &Arc<Account>| Arc::strong_count(account) > 1;
            let stays = |account: &Arc<Account>| is_used(account) || !account.is_idle(now);
            known.accounts.retain(|_, account| stays(account));
        }
        if known.accounts.len() >= ACCOUNTS_MAX {
            let others = || Arc::new(self.new_account("all newcomers together"));
            return Arc::clone(known.shared.get_or_insert_with(others));
        }
        let account = Arc::new(self.new_account(&who()));
        known.accounts.insert(key.clone(), Arc::clone(&account));
        account
    }

    fn new_account(&self, who: &str) -> Account {
        Account {
            who: who.into(),
            scope: self.scope,
            limits: self.limits,
            requests: Pace::default(),
            bytes: Pace::default(),
            streams: AtomicU64::new(0),
            watches: AtomicU64::new(0),
        }
    }
}
