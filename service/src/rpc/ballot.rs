//! The queue that locks and elections share.
//!
//! A contender puts a key below the queue's prefix, named after its lease:
//!
//! ```text
//! jobs/694d8f      created at revision 12: has the turn
//! jobs/694d93      created at revision 15: waits for 694d8f to go
//! jobs/694da0      created at revision 16: waits for 694d93
//! ```
//!
//! Order is the order of creation, which the log decides. A waiter looks at the key created last
//! before its own and at nothing else, so a contender that leaves wakes one waiter, not all. A
//! contender leaves when its key is deleted, by its owner or with its lease.
//!
//! # Nothing stays behind
//!
//! [`contend`] runs in a task of its own, which outlives the call: it notices that the client has
//! disconnected, or that the time of the call is up, and then removes its key from the queue. The
//! call's own future could not, since it is dropped at that moment. A key that was there before the
//! call (the same lease, a second attempt) stays: this call did not create it.
//!
//! # Invariants
//!
//! - A turn is reported only if the contender's key was in the queue, with its own create revision,
//!   after every key created before it had gone; if it had to wait for that, at a moment no earlier
//!   than when a majority was asked for the newest state.
//! - A key is deleted only together with a check of its create revision.

use std::time::Duration;

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::etcdserverpb::{RangeRequest, ResponseHeader};
use conclave_proto::mvccpb::KeyValue;
use conclave_storage::machine::{Change, ChangeKind};
use conclave_storage::{KeyRange, LeaseId, Revision};
use tokio::sync::oneshot;
use tonic::Status;

use super::{Access, status};
use conclave_core::handle::Refused;
use conclave_core::watch::WatchError;

mod keys;

pub(super) use keys::{delete, key, prefix, prefix_end, write};
use keys::{grant, revoke};

/// TTL of the lease that the server grants for a contender without one. The server keeps the lease
/// alive while the contender waits; after that, the TTL is the time in which the client must act.
const OWN_LEASE_SECONDS: i64 = 60;
/// Interval of its keep-alives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// A client's request for a turn.
pub(super) struct Wish {
    /// The queue's name.
    pub(super) name: Bytes,
    /// Lease of the key; [`LeaseId::NONE`] to use one that the server grants.
    pub(super) lease: LeaseId,
    /// Value of the key. `None` to keep the value of a key that exists.
    pub(super) value: Option<Bytes>,
}

/// A place in a queue.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The contender's key.
    pub(super) key: Bytes,
    /// The revision that created it.
    pub(super) create_revision: i64,
    /// The lease it lives with.
    pub(super) lease: LeaseId,
    /// The header of the transaction that took the place.
    pub(super) entered: ResponseHeader,
    /// The header of the moment the turn came.
    pub(super) turn: ResponseHeader,
}

/// Takes a place in the queue and waits for its turn.
pub(super) async fn contend(access: &Access, wish: Wish) -> Result<Place, Status> {
    let (answer, turn) = oneshot::channel();
    tokio::spawn(run(access.clone(), wish, answer));
    turn.await
        .unwrap_or_else(|_| Err(status::of_api(ApiError::Stopped)))
}

/// The task behind [`contend`].
async fn run(access: Access, wish: Wish, mut answer: oneshot::Sender<Result<Place, Status>>) {
    let contender = match Contender::enter(&access, wish).await {
        Ok(contender) => contender,
        Err(status) => {
            // The client may have disconnected. There is nothing to remove.
            let _ = answer.send(Err(status));
            return;
        }
    };
    let stopping = access.stopping().clone();
    let waited = tokio::select! {
        biased;
        turn = contender.wait() => turn,
        () = answer.closed() => Err(Status::cancelled("context canceled")),
        () = stopping.cancelled() => Err(status::of_api(ApiError::Stopped)),
        () = contender.keep_lease_alive() => Err(session_expired()),
    };
    let lost = match waited {
        Ok(turn) => {
            let place = Place {
                turn,
                ..contender.place.clone()
            };
            answer.send(Ok(place)).is_err()
        }
        Err(status) => {
            contender.leave().await;
            let _ = answer.send(Err(status));
            return;
        }
    };
    if lost {
        contender.leave().await;
    }
}

/// Error of the Go client's lock when its key was deleted with its lease.
fn session_expired() -> Status {
    Status::unknown("mutex: session is expired")
}

/// A contender in a queue.
struct Contender<'a> {
    access: &'a Access,
    prefix: Bytes,
    place: Place,
    /// True if the server granted the lease.
    owns_lease: bool,
    /// True if this call created the key.
    owns_key: bool,
}

impl<'a> Contender<'a> {
    async fn enter(access: &'a Access, wish: Wish) -> Result<Contender<'a>, Status> {
        let owns_lease = wish.lease == LeaseId::NONE;
        let lease = if owns_lease {
            grant(access).await?
        } else {
            wish.lease
        };
        match Self::take_place(access, &wish, lease).await {
            Ok((place, owns_key)) => {
                let prefix = prefix(&wish.name);
                Ok(Contender {
                    access,
                    prefix,
                    place,
                    owns_lease,
                    owns_key,
                })
            }
            Err(status) => {
                if owns_lease {
                    revoke(access, lease).await;
                }
                Err(status)
            }
        }
    }

    /// Creates the key, or uses the one that is there. Also returns true if it was created.
    async fn take_place(
        access: &Access,
        wish: &Wish,
        lease: LeaseId,
    ) -> Result<(Place, bool), Status> {
        let key = keys::key(&wish.name, lease);
        let value = wish.value.clone().unwrap_or_default();
        let (entered, found) = keys::create(access, &key, value, lease).await?;
        let place = |create_revision| Place {
            key,
            create_revision,
            lease,
            entered,
            turn: entered,
        };
        let Some(found) = found else {
            return Ok((place(entered.revision), true));
        };
        let place = place(found.create_revision);
        if let Some(value) = wish.value.clone().filter(|value| *value != found.value) {
            let written = write(access, &place.key, place.create_revision, lease, value).await?;
            if !written.succeeded {
                return Err(session_expired());
            }
        }
        Ok((place, false))
    }

    /// Waits until every key created before this one has gone. Returns the header of that moment.
    async fn wait(&self) -> Result<ResponseHeader, Status> {
        let (mut before, mut revision) = self.last_before().await?;
        if before.is_none() {
            self.confirm()?;
            return Ok(self.place.entered);
        }
        while let Some(kv) = before {
            let next = revision.next();
            tokio::select! {
                gone = deleted(self.access, &kv.key, next) => gone?,
                gone = deleted(self.access, &self.place.key, next) => gone?,
            }
            // Either may have gone, and the look that follows tells which.
            self.confirm()?;
            (before, revision) = self.last_before().await?;
        }
        self.catch_up().await?;
        self.confirm()
    }

    /// Waits until the local state is as new as this call. A member that was cut off may see its
    /// turn come when the lease has long ended and another contender has the turn, so it must catch
    /// up first. Without a leader there is no turn to report.
    async fn catch_up(&self) -> Result<(), Status> {
        loop {
            match self.access.linearize().await {
                Ok(()) => return Ok(()),
                Err(Refused(ApiError::Timeout)) => {}
                Err(refused) => return Err(status::of_refused(refused)),
            }
        }
    }

    /// Returns the key created last before this one, and the revision of the read. The local state
    /// is new enough: it has this contender's key, so it has all keys created before.
    async fn last_before(&self) -> Result<(Option<KeyValue>, Revision), Status> {
        let request = RangeRequest {
            key: self.prefix.clone(),
            range_end: prefix_end(&self.prefix),
            limit: 1,
            sort_order: SortOrder::Descend as i32,
            sort_target: SortTarget::Create as i32,
            keys_only: true,
            max_create_revision: self.place.create_revision - 1,
            ..Default::default()
        };
        let read = self.access.read(move |reader| reader.range(&request));
        let mut response = read.await?;
        let revision = Revision(response.header.map_or(0, |header| header.revision));
        Ok((response.kvs.pop(), revision))
    }

    /// Fails unless the key is still there: without it another contender may have the turn.
    fn confirm(&self) -> Result<ResponseHeader, Status> {
        let request = RangeRequest {
            key: self.place.key.clone(),
            ..Default::default()
        };
        let response = self.access.look(|reader| reader.range(&request));
        let response = response.map_err(status::of_read)?;
        let mine = |kv: &KeyValue| kv.create_revision == self.place.create_revision;
        if !response.kvs.first().is_some_and(mine) {
            return Err(session_expired());
        }
        let mut header = response.header;
        self.access.complete(&mut header);
        Ok(header.unwrap_or_default())
    }

    /// Renews the lease that the server granted, while it is polled. Returns when the lease has
    /// ended.
    async fn keep_lease_alive(&self) {
        if !self.owns_lease {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(KEEP_ALIVE_INTERVAL).await;
            match self.access.keep_alive(self.place.lease).await {
                Ok(Some(_)) => {}
                Ok(None) => return,
                // The TTL has room for another attempt or two.
                Err(_) => {}
            }
        }
    }

    /// Removes what this call created. If that fails, it goes when the lease ends.
    async fn leave(&self) {
        if self.owns_lease {
            revoke(self.access, self.place.lease).await;
        } else if self.owns_key {
            // The outcome is the same whether it was deleted now, earlier, or will be with its
            // lease.
            let _ = delete(self.access, &self.place.key, self.place.create_revision).await;
        }
    }
}

/// Returns when a key was deleted at `from` or later, or may have been, if that part of the history
/// is compacted.
async fn deleted(access: &Access, key: &Bytes, from: Revision) -> Result<(), Status> {
    let subscribing = access.subscribe(KeyRange::One(key.clone()), from);
    let mut subscription = subscribing.await.map_err(status::of_watch)?;
    let deletes = |change: &Change| change.kind == ChangeKind::Delete && change.kv.key == *key;
    loop {
        let revisions = match subscription.next().await {
            Ok(revisions) => revisions,
            Err(WatchError::Compacted(_)) => return Ok(()),
            Err(error) => return Err(status::of_watch(error)),
        };
        if revisions
            .iter()
            .any(|revision| revision.changes.iter().any(deletes))
        {
            return Ok(());
        }
    }
}
