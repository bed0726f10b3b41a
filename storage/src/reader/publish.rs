//! The side of a reader that the machine writes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use conclave_proto::etcdserverpb as api;

use super::counts::Counts;
use super::{Applied, Reader, Shared};
use crate::auth::Auth;
use crate::engine::Engine;
use crate::ids::{ClusterId, Revision};
use crate::membership::Membership;
use crate::mvcc::Changes;

impl Reader {
    pub(crate) fn new(engine: Arc<dyn Engine>, cluster_id: ClusterId) -> Reader {
        let shared = Shared {
            engine: RwLock::new(engine),
            cluster_id: AtomicU64::new(cluster_id.0),
            revision: AtomicI64::new(0),
            compacted: AtomicI64::new(0),
            compaction_finished: AtomicI64::new(0),
            logical_size: AtomicI64::new(0),
            term: AtomicU64::new(0),
            index: AtomicU64::new(0),
            membership: Mutex::default(),
            alarms: Mutex::default(),
            auth: Mutex::default(),
            auth_mark: AtomicU64::new(Auth::default().mark().0),
            hashes: Mutex::default(),
            counts: Counts::default(),
        };
        Reader {
            shared: Arc::new(shared),
            meter: None,
        }
    }

    /// Publishes a commit of `changes`. The index is stored last, so a thread that loads it also
    /// sees the rest.
    pub(crate) fn publish(
        &self,
        changes: &[Arc<Changes>],
        applied: &Applied,
        logical_size: i64,
        finished: Revision,
    ) {
        let shared = &self.shared;
        shared.counts.note(changes, applied.revision);
        shared.revision.store(applied.revision.0, Ordering::Release);
        shared
            .compacted
            .store(applied.compacted.0, Ordering::Release);
        shared
            .compaction_finished
            .store(finished.0, Ordering::Release);
        shared.logical_size.store(logical_size, Ordering::Release);
        shared.term.store(applied.term.0, Ordering::Release);
        shared.index.store(applied.index.0, Ordering::Release);
    }

    /// Switches to the engine of a snapshot with this compact revision. [`Reader::publish`] must
    /// follow.
    pub(crate) fn replace_engine(&self, engine: Arc<dyn Engine>, compacted: Revision) {
        let shared = &self.shared;
        shared.compacted.store(compacted.0, Ordering::Release);
        *shared.engine.write() = engine;
        shared.hashes.lock().clear();
        shared.counts.clear();
    }

    pub(crate) fn set_cluster_id(&self, cluster_id: ClusterId) {
        self.shared
            .cluster_id
            .store(cluster_id.0, Ordering::Release);
    }

    pub(crate) fn set_membership(&self, membership: &Membership) {
        *self.shared.membership.lock() = Arc::new(membership.clone());
    }

    pub(crate) fn set_alarms(&self, alarms: Vec<api::AlarmMember>) {
        *self.shared.alarms.lock() = Arc::new(alarms);
    }

    /// Publishes a change of users, roles or permissions; the mark last, so a thread that loads it
    /// finds this state or a later one.
    pub(crate) fn set_auth(&self, auth: &Arc<Auth>) {
        *self.shared.auth.lock() = Arc::clone(auth);
        let mark = auth.mark().0;
        self.shared.auth_mark.store(mark, Ordering::Release);
    }
}
