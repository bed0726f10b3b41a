//! K15: a cache of the keys below a prefix.
//!
//! One task lists the keys at a revision, and watches from the next one, so there is no gap. After
//! the history was compacted it lists again, and the differences are the changes.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::persist::persist;
use crate::Error;
use crate::api::{Event, EventType, KeyValue};
use crate::client::Client;
use crate::keys::Keys;
use crate::watch::Watch;

/// Changes that a listener may be behind.
const CHANGES_MAX: usize = 1024;
/// Interval of requests for the watch's progress, while someone waits for a revision.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// A copy of the keys below a prefix, which follows the store.
///
/// ```
/// # use conclave_client::{Client, Error};
/// # async fn example(client: Client) -> Result<(), Error> {
/// use conclave_client::recipes::Cache;
///
/// let cache = Cache::open(&client, "config/").await?;
/// let put = client.put("config/color", "green").await?;
/// cache.at_least(put.header.unwrap_or_default().revision).await?;
/// assert_eq!(cache.get("config/color").unwrap().value, "green");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    revision: i64,
    _stop: DropGuard,
}

/// A change of a cache.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheChange {
    /// The key has this value now.
    Put(KeyValue),
    /// The key is gone.
    Delete(Bytes),
    /// The listener was so slow that changes were left out. [`Cache::list`] has the present state.
    Missed,
}

/// The changes of a cache in their order.
#[derive(Debug)]
pub struct CacheChanges(broadcast::Receiver<CacheChange>);

impl CacheChanges {
    /// Returns the next change, or `None` when the cache has ended.
    pub async fn next(&mut self) -> Option<CacheChange> {
        match self.0.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(CacheChange::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[derive(Debug)]
struct Shared {
    keys: RwLock<BTreeMap<Bytes, KeyValue>>,
    /// The revision up to which the cache has seen everything, or why it has ended.
    seen: watch::Sender<Result<i64, Error>>,
    /// Someone waits for a revision.
    wanted: Notify,
    /// Gone when the cache has ended.
    changes: RwLock<Option<broadcast::Sender<CacheChange>>>,
}

impl Cache {
    /// Lists the keys, and follows them from then on until the cache is dropped.
    pub async fn open(client: &Client, prefix: impl Into<Bytes>) -> Result<Self, Error> {
        let prefix = prefix.into();
        let response = client.range(Keys::prefix(prefix.clone())).await?;
        let revision = response.header.map_or(0, |header| header.revision);
        let keys = response.kvs.into_iter().map(|kv| (kv.key.clone(), kv));
        let shared = Arc::new(Shared {
            keys: RwLock::new(keys.collect()),
            seen: watch::channel(Ok(revision)).0,
            wanted: Notify::new(),
            changes: RwLock::new(Some(broadcast::channel(CHANGES_MAX).0)),
        });
        let stop = CancellationToken::new();
        let follower = Follower {
            client: client.clone(),
            prefix,
            shared: Arc::clone(&shared),
        };
        client.spawn(follower.run(revision, stop.clone()));
        Ok(Self {
            shared,
            revision,
            _stop: stop.drop_guard(),
        })
    }

    /// The revision at which the keys were first listed.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The key, as the cache has it.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<KeyValue> {
        self.shared.keys().get(key.as_ref()).cloned()
    }

    /// All keys in order, as the cache has them.
    pub fn list(&self) -> Vec<KeyValue> {
        self.shared.keys().values().cloned().collect()
    }

    /// The changes from now on.
    pub fn listen(&self) -> CacheChanges {
        let changes = self.shared.changes.read();
        let changes = changes.unwrap_or_else(PoisonError::into_inner);
        CacheChanges(match &*changes {
            Some(changes) => changes.subscribe(),
            None => broadcast::channel(1).1,
        })
    }

    /// Waits until the cache has seen this revision of the store, of which [`Cache::get`] then
    /// knows at least.
    ///
    /// # Errors
    /// The error that has ended the cache: [`Error::Closed`] if its client was closed.
    pub async fn at_least(&self, revision: i64) -> Result<(), Error> {
        let mut seen = self.shared.seen.subscribe();
        loop {
            match &*seen.borrow_and_update() {
                Ok(seen) if *seen >= revision => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.clone()),
            }
            self.shared.wanted.notify_one();
            tokio::select! {
                _ = seen.changed() => {}
                // A server that is behind may not have answered.
                () = sleep(ASK_INTERVAL) => {}
            }
        }
    }
}

impl Shared {
    fn keys(&self) -> RwLockReadGuard<'_, BTreeMap<Bytes, KeyValue>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes changes, and notifies listeners of them.
    fn apply(&self, changes: Vec<CacheChange>, revision: i64) {
        {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            for change in &changes {
                match change {
                    CacheChange::Put(kv) => drop(keys.insert(kv.key.clone(), kv.clone())),
                    CacheChange::Delete(key) => drop(keys.remove(key)),
                    CacheChange::Missed => {}
                }
            }
        }
        let listeners = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            // An error means that nobody listens.
            let _ = listeners.as_ref().map(|listeners| listeners.send(change));
        }
        drop(self.seen.send_replace(Ok(revision)));
    }

    fn end(&self, error: Error) {
        drop(self.seen.send_replace(Err(error)));
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        *changes = None;
    }
}

/// The task of a cache.
struct Follower {
    client: Client,
    prefix: Bytes,
    shared: Arc<Shared>,
}

impl Follower {
    async fn run(self, revision: i64, stop: CancellationToken) {
        let following = self.follow(revision);
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = self.client.closing() => Error::Closed("the client"),
            error = following => error,
        };
        self.shared.end(ended);
    }

    /// Follows the store, until an error that another attempt does not help.
    async fn follow(&self, revision: i64) -> Error {
        let mut watch = self.watch(revision);
        loop {
            let next = tokio::select! {
                next = watch.next_or_progress() => next,
                () = self.shared.wanted.notified() => {
                    watch.ask_progress();
                    continue;
                }
            };
            match next {
                Ok(Some(batch)) => {
                    let changes = batch.events.into_iter().filter_map(change);
                    self.shared.apply(changes.collect(), batch.revision);
                }
                Ok(None) | Err(Error::Compacted { .. }) => match self.list().await {
                    Ok(revision) => watch = self.watch(revision),
                    Err(error) => return error,
                },
                Err(error) => return error,
            }
        }
    }

    fn watch(&self, revision: i64) -> Watch {
        let keys = Keys::prefix(self.prefix.clone());
        self.client.watch(keys).from(revision + 1).not_open()
    }

    /// Lists the keys again. What is different has changed.
    async fn list(&self) -> Result<i64, Error> {
        let response = persist(|| self.client.range(Keys::prefix(self.prefix.clone()))).await?;
        let revision = response.header.map_or(0, |header| header.revision);
        let found: BTreeMap<Bytes, KeyValue> = response
            .kvs
            .into_iter()
            .map(|kv| (kv.key.clone(), kv))
            .collect();
        let changes = differences(&self.shared.keys(), found);
        self.shared.apply(changes, revision);
        Ok(revision)
    }
}

fn change(event: Event) -> Option<CacheChange> {
    let kind = event.r#type();
    let kv = event.kv?;
    Some(match kind {
        EventType::Put => CacheChange::Put(kv),
        EventType::Delete => CacheChange::Delete(kv.key),
    })
}

/// The changes that lead from one state to another.
fn differences(
    before: &BTreeMap<Bytes, KeyValue>,
    after: BTreeMap<Bytes, KeyValue>,
) -> Vec<CacheChange> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let mut changes: Vec<_> = gone.cloned().map(CacheChange::Delete).collect();
    let revision = |key: &Bytes| before.get(key).map(|kv| kv.mod_revision);
    let changed = after
        .into_values()
        .filter(|kv| revision(&kv.key) != Some(kv.mod_revision));
    changes.extend(changed.map(CacheChange::Put));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_deletions_and_puts() {
        let state = |keys: &[(&'static str, i64)]| -> BTreeMap<Bytes, KeyValue> {
            let kv = |&(key, mod_revision): &(&'static str, i64)| {
                let kv = KeyValue {
                    key: key.into(),
                    mod_revision,
                    ..Default::default()
                };
                (kv.key.clone(), kv)
            };
            keys.iter().map(kv).collect()
        };
        let before = state(&[("gone", 2), ("same", 3), ("changed", 4)]);
        let after = state(&[("same", 3), ("changed", 7), ("new", 6)]);
        let puts = [
            after["changed".as_bytes()].clone(),
            after["new".as_bytes()].clone(),
        ];
        let expected = [CacheChange::Delete("gone".into())]
            .into_iter()
            .chain(puts.map(CacheChange::Put));
        assert_eq!(differences(&before, after), expected.collect::<Vec<_>>());
    }
}
