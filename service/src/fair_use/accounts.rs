//! Accounts of users and addresses.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;

use super::pace::{Pace, cost_ns};
use super::reports::{Reached, Recent, Reports};
use super::{Amount, Kind, Limits, Refused, Resource, Scope};
use conclave_core::clock::Moment;

/// Accounts of one kind that are kept.
pub(super) const ACCOUNTS_MAX: usize = 1 << 16;
/// Number of accounts from which idle ones are looked for.
const ACCOUNTS_KEPT: usize = 1 << 10;
/// Time between two such searches, in milliseconds.
const SWEEP_INTERVAL_MS: u64 = 1_000;

/// The use of one user or address.
#[derive(Debug)]
pub(super) struct Account {
    who: Arc<str>,
    scope: Scope,
    pub(super) limits: Limits,
    paces: Paces,
    streams: AtomicU64,
    watches: AtomicU64,
    reports: Arc<Reports>,
    recent: Recent,
}

#[derive(Debug, Default)]
struct Paces {
    requests: Pace,
    releases: Pace,
    /// Of messages on streams.
    messages: Pace,
    call_bytes: Pace,
    stream_bytes: Pace,
    /// Apart from other streams, so that keep-alives do not wait for events.
    keep_alive_bytes: Pace,
}

impl Account {
    pub(super) fn begin(&self, kind: Kind, now: Moment) -> Result<(), Refused> {
        if matches!(kind, Kind::Call | Kind::Wait)
            && let Some(limit) = self.limits.bytes_per_second
            && self.paces.call_bytes.is_behind(now)
        {
            return Err(self.refused(Resource::Bytes, limit, now));
        }
        let (pace, resource) = match kind {
            Kind::Call | Kind::Wait | Kind::Stream => (&self.paces.requests, Resource::Requests),
            Kind::Release => (&self.paces.releases, Resource::Releases),
            Kind::KeepAlive => return Ok(()),
        };
        match self.limits.requests_per_second {
            Some(limit) if !pace.take(cost_ns(1, limit), now) => {
                Err(self.refused(resource, limit, now))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts the bytes of a call.
    pub(super) fn moved(&self, bytes: usize, now: Moment) {
        if let Some(limit) = self.limits.bytes_per_second {
            let cost_ns = cost_ns(bytes as u64, limit);
            self.paces.call_bytes.charge(cost_ns, now);
        }
    }

    /// Takes the next turn for a part of a stream. Returns the time until it comes.
    pub(super) fn reserve(&self, kind: Kind, amount: Amount, now: Moment) -> Duration {
        let Some((pace, limit, resource)) = self.pace(kind, amount) else {
            return Duration::ZERO;
        };
        let wait = pace.reserve(cost_of(amount, limit), now);
        if !wait.is_zero() {
            let reached = self.reached(resource, limit);
            self.reports.log(reached, &self.recent, now);
        }
        wait
    }

    /// Gives back a turn that was not used.
    pub(super) fn give_back(&self, kind: Kind, amount: Amount) {
        if let Some((pace, limit, _)) = self.pace(kind, amount) {
            pace.give_back(cost_of(amount, limit));
        }
    }

    /// Returns the pace of parts of a stream, and its limit.
    fn pace(&self, kind: Kind, amount: Amount) -> Option<(&Pace, NonZeroU64, Resource)> {
        let paces = &self.paces;
        let (pace, limit, resource) = match (amount, kind) {
            (Amount::Message, _) => {
                let limit = self.limits.requests_per_second;
                (&paces.messages, limit, Resource::Requests)
            }
            (Amount::Bytes(_), Kind::KeepAlive) => {
                let limit = self.limits.bytes_per_second;
                (&paces.keep_alive_bytes, limit, Resource::Bytes)
            }
            (Amount::Bytes(_), _) => {
                let limit = self.limits.bytes_per_second;
                (&paces.stream_bytes, limit, Resource::Bytes)
            }
        };
        Some((pace, limit?, resource))
    }

    fn refused(&self, resource: Resource, limit: NonZeroU64, now: Moment) -> Refused {
        let reached = self.reached(resource, limit);
        self.reports.count(reached);
        self.reports.log(reached, &self.recent, now);
        Refused {
            who: Arc::clone(&self.who),
            scope: self.scope,
            resource,
            limit,
        }
    }

    fn reached(&self, resource: Resource, limit: NonZeroU64) -> Reached<'_> {
        Reached {
            who: &self.who,
            scope: self.scope,
            resource,
            limit,
        }
    }

    /// Returns the number of open streams or watchers, and its limit.
    fn open(&self, resource: Resource) -> (&AtomicU64, Option<NonZeroU64>) {
        match resource {
            Resource::Watches => (&self.watches, self.limits.watches),
            Resource::Streams | Resource::Requests | Resource::Releases | Resource::Bytes => {
                (&self.streams, self.limits.streams)
            }
        }
    }

    /// Returns true if a new account would be the same.
    fn is_idle(&self, now: Moment) -> bool {
        let Paces {
            requests,
            releases,
            messages,
            call_bytes,
            stream_bytes,
            keep_alive_bytes,
        } = &self.paces;
        let of_requests = [requests, releases, messages];
        let of_bytes = [call_bytes, stream_bytes, keep_alive_bytes];
        let mut all = of_requests.into_iter().chain(of_bytes);
        all.all(|pace| pace.is_paid(now))
    }
}

fn cost_of(amount: Amount, limit: NonZeroU64) -> u64 {
    match amount {
        Amount::Message => cost_ns(1, limit),
        Amount::Bytes(bytes) => cost_ns(bytes as u64, limit),
    }
}

/// One of the streams or watchers of an account, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    account: Arc<Account>,
    resource: Resource,
}

impl Place {
    pub(super) fn take(
        account: &Arc<Account>,
        resource: Resource,
        now: Moment,
    ) -> Result<Place, Refused> {
        let (open, limit) = account.open(resource);
        let one_more = |taken: u64| match limit {
            Some(limit) if taken >= limit.get() => None,
            Some(_) | None => Some(taken + 1),
        };
        match (open.fetch_update(Relaxed, Relaxed, one_more), limit) {
            (Err(_), Some(limit)) => Err(account.refused(resource, limit, now)),
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

/// The accounts of all users, or of all addresses.
pub(super) struct Accounts<K> {
    scope: Scope,
    limits: Limits,
    reports: Arc<Reports>,
    pub(super) known: Mutex<Known<K>>,
}

pub(super) struct Known<K> {
    pub(super) accounts: HashMap<K, Arc<Account>>,
    /// The account of all who found no room for one of their own.
    shared: Option<Arc<Account>>,
    swept: Moment,
}

impl<K: Clone + Eq + Hash> Accounts<K> {
    pub(super) fn new(scope: Scope, limits: Limits, reports: Arc<Reports>) -> Accounts<K> {
        Accounts {
            scope,
            limits,
            reports,
            known: Mutex::new(Known {
                accounts: HashMap::new(),
                shared: None,
                swept: Moment::default(),
            }),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the account of one, who is called `who` in messages.
    pub(super) fn account(
        &self,
        key: &K,
        who: impl FnOnce() -> String,
        now: Moment,
    ) -> Arc<Account> {
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
            paces: Paces::default(),
            streams: AtomicU64::new(0),
            watches: AtomicU64::new(0),
            reports: Arc::clone(&self.reports),
            recent: Recent::default(),
        }
    }
}
