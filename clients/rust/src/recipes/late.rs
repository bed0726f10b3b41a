//! Copies of a put that are executed late.
//!
//! The put of a session's key is sent again if an attempt hangs in a connection. That attempt may
//! be executed when the key has been released, or the wait for it given up: then the key exists
//! again, and nobody knows of it. No comparison prevents it, because the store keeps nothing of a
//! deleted key. But it can be seen: after such a put the key is watched until the session ends, and
//! deleted if nobody holds it.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::persist::persist;
use crate::Error;
use crate::api::KeyValue;
use crate::client::Client;
use crate::effect::Effect;
use crate::session::{Place, Session, Watched};
use crate::session_state::Lease;
use crate::txn;

/// The key that is no late copy.
enum Known {
    /// The key that the session holds at its place.
    Place(Arc<Mutex<Place>>),
    /// The claim of a queue's item with this mark, which no other claim has: it was made once, at
    /// the revision `token`, or not at all (0).
    Claim { mark: Bytes, token: i64 },
}

/// Watches a key. It does not keep the session from being dropped.
struct Late {
    client: Client,
    lease: Arc<Lease>,
    key: Bytes,
    known: Known,
}

/// Deletes late copies of the put of a contender's key, from now until the session ends.
pub(super) fn delete_copies(session: &Session, key: &Bytes) {
    let watched = Arc::clone(session.watched());
    if !lock(&watched).insert(key.clone()) {
        return;
    }
    let late = Late::new(session, key, Known::Place(session.place(key)));
    session.client().spawn(async move {
        late.run().await;
        lock(&watched).remove(&late.key);
    });
}

/// Deletes late copies of a claim, from now until the session ends, or the item is done.
pub(super) fn delete_copies_of_claim(
    session: &Session,
    key: &Bytes,
    mark: Bytes,
    token: i64,
    done: CancellationToken,
) {
    let late = Late::new(session, key, Known::Claim { mark, token });
    session.client().spawn(async move {
        done.run_until_cancelled(late.run()).await;
    });
}

fn lock(watched: &Watched) -> std::sync::MutexGuard<'_, HashSet<Bytes>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Late {
    fn new(session: &Session, key: &Bytes, known: Known) -> Self {
        Self {
            client: session.client().clone(),
            lease: session.lease(),
            key: key.clone(),
            known,
        }
    }

    async fn run(&self) {
        tokio::select! {
            biased;
            // Its keys go with it.
            _ = self.lease.ended() => {}
            // The user may no longer read or write the key.
            _ = self.watch() => {}
        }
    }

    async fn watch(&self) -> Result<(), Error> {
        loop {
            let present = persist(|| self.client.range(self.key.clone())).await?;
            let revision = present.header.map_or(0, |header| header.revision);
            for kv in &present.kvs {
                self.look_at(kv).await?;
            }
            let watch = self.client.watch(self.key.clone()).from(revision + 1);
            let mut watch = watch.not_open();
            loop {
                match watch.next().await {
                    Ok(Some(batch)) => {
                        // That of a deletion has no lease.
                        for kv in batch.events.iter().filter_map(|event| event.kv.as_ref()) {
                            self.look_at(kv).await?;
                        }
                    }
                    Ok(None) | Err(Error::Compacted { .. }) => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Deletes the key if it is a late copy.
    async fn look_at(&self, kv: &KeyValue) -> Result<(), Error> {
        if kv.lease != self.lease.id {
            return Ok(());
        }
        match &self.known {
            Known::Place(place) => {
                // Not while a contender may have found the key, and takes it for its own. Locked
                // until the deletion is done, or a later one could find it.
                let place = place.lock().await;
                let is_held = place.count > 0 || place.part.is_some();
                if !(is_held && place.token == kv.create_revision) {
                    self.delete(kv).await?;
                }
            }
            Known::Claim { mark, token } => {
                if kv.value == mark && kv.create_revision != *token {
                    self.delete(kv).await?;
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, kv: &KeyValue) -> Result<(), Error> {
        // If it has changed, its next state is looked at, too.
        let is_copy = txn::unchanged(kv.key.clone(), kv.mod_revision);
        let request = txn::when([is_copy], [txn::delete(kv.key.clone())]);
        persist(|| self.client.txn_as(request.clone(), Effect::Repeatable)).await?;
        Ok(())
    }
}
