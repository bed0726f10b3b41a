//! The read side of the state: ranges, history, leases, hashes; from any thread, without ever
//! blocking the applier.
//!
//! A read is at a revision and reads from a frozen state of the engine. Two rules make that sound:
//!
//! * The machine publishes a revision *after* the write that holds it. So a reader loads the
//!   published revision first and then freezes the state. The state holds at least that revision,
//!   and the read skips rows of later ones.
//! * The machine publishes a compact revision *before* it removes the versions that become
//!   unreadable. So a reader freezes the state first and then loads the compact revision. If the
//!   read is at or above it, the frozen state has everything the read needs. If not, the read is
//!   refused or, if it was for the latest revision, repeated at the latest revision of then.
//!
//! For example, a range at revision 5 freezes the state while a compaction at 7 commits. The
//! compact revision loaded afterwards is 7, so the range is refused, even if the frozen state still
//! had all of its rows.
//!
//! A snapshot from the leader replaces the engine. Both rules hold then as well: the compact
//! revision is published before the new engine, and the revision after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use conclave_proto::command::Member;
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::mvccpb::KeyValue;
use parking_lot::{Mutex, RwLock};

use crate::auth::{Auth, AuthMark};
use crate::engine::metered::Metered;
use crate::engine::{Engine, Meter, Read};
use crate::fault::Fault;
use crate::ids::{ClusterId, Index, Revision, Term};
use crate::layout;
use crate::membership::Membership;
use crate::mvcc::query::header;
use crate::mvcc::range::KeyRange;
use crate::mvcc::view::{EngineView, View};
use crate::mvcc::{HashKv, History, hash, history, query, txn};

mod counts;
mod leases;
pub mod pages;
mod publish;
pub mod rows;
pub mod stream;

use counts::Counts;

/// Error of a read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The request is refused by rule, for example because its revision is compacted.
    #[error("{0}")]
    Rejected(ApiError),
    /// The disk failed. The process must stop.
    #[error(transparent)]
    Fault(Fault),
    /// The reader's meter stopped the read; see [`Reader::metered`].
    #[error("the read was stopped")]
    Stopped,
}

impl From<ApiError> for ReadError {
    fn from(error: ApiError) -> ReadError {
        ReadError::Rejected(error)
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> ReadError {
        ReadError::Fault(fault)
    }
}

/// Position of the committed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Index of the last applied entry.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The latest revision.
    pub revision: Revision,
    /// The compact revision: -1 if nothing was ever compacted.
    pub compacted: Revision,
}

/// Size of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Keys, values and a fixed overhead of all versions not removed yet, and of the store itself.
    /// The size that quotas limit. Never 0.
    pub logical: u64,
    /// Size of the engine's files.
    pub on_disk: u64,
}

/// Number of hashes that are remembered: see [`Reader::hash_kv`].
const HASHES_REMEMBERED: usize = 10;

/// The read side of the state. Cheap to clone; any number of threads share it.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
    meter: Option<Arc<dyn Meter>>,
}

struct Shared {
    /// Replaced when a snapshot is installed; see [`Reader::engine`].
    engine: RwLock<Arc<dyn Engine>>,
    cluster_id: AtomicU64,
    revision: AtomicI64,
    compacted: AtomicI64,
    compaction_finished: AtomicI64,
    logical_size: AtomicI64,
    term: AtomicU64,
    index: AtomicU64,
    membership: Mutex<Arc<Membership>>,
    alarms: Mutex<Arc<Vec<api::AlarmMember>>>,
    auth: Mutex<Arc<Auth>>,
    auth_mark: AtomicU64,
    hashes: Mutex<VecDeque<HashKv>>,
    counts: Counts,
}

impl Reader {
    /// Returns a reader of the same state whose reads are under `meter`. A read that the meter
    /// stops fails with [`ReadError::Stopped`].
    #[must_use]
    pub fn metered(&self, meter: Arc<dyn Meter>) -> Reader {
        Reader {
            shared: Arc::clone(&self.shared),
            meter: Some(meter),
        }
    }

    /// Returns the position of the committed state. Everything up to the returned index is
    /// readable.
    pub fn applied(&self) -> Applied {
        let shared = &self.shared;
        // Loaded first, because it is published last.
        let index = Index(shared.index.load(Ordering::Acquire));
        Applied {
            index,
            term: Term(shared.term.load(Ordering::Acquire)),
            revision: self.revision(),
            compacted: self.compacted(),
        }
    }

    /// Returns the last compact revision whose removal has ended.
    pub fn compaction_finished(&self) -> Revision {
        Revision(self.shared.compaction_finished.load(Ordering::Acquire))
    }

    /// Returns the id of the cluster, or [`ClusterId::NONE`] before it is bootstrapped.
    pub fn cluster_id(&self) -> ClusterId {
        ClusterId(self.shared.cluster_id.load(Ordering::Acquire))
    }

    /// Returns the members, by id.
    pub fn members(&self) -> Vec<Member> {
        self.shared.membership.lock().members()
    }

    /// Returns the members and the removed members, with the rules for changing them.
    pub fn membership(&self) -> Arc<Membership> {
        self.shared.membership.lock().clone()
    }

    /// Returns the raised alarms, by type and member.
    pub fn alarms(&self) -> Vec<api::AlarmMember> {
        self.shared.alarms.lock().to_vec()
    }

    /// Returns users, roles and permissions.
    pub fn auth(&self) -> Arc<Auth> {
        Arc::clone(&self.shared.auth.lock())
    }

    /// Returns the mark of the state that [`Reader::auth`] returns, or of an earlier one. A change
    /// of permissions is published before the changes of keys that follow it. So if the mark is the
    /// same before and after a read, the permissions were the same all the time.
    pub fn auth_mark(&self) -> AuthMark {
        AuthMark(self.shared.auth_mark.load(Ordering::Acquire))
    }

    /// Returns [`Sizes::logical`] without asking the engine, so it is cheap enough to check before
    /// every write.
    pub fn logical_size(&self) -> u64 {
        let logical = self.shared.logical_size.load(Ordering::Acquire);
        let versions = u64::try_from(logical).expect("removed versions were added before");
        // Not part of the stored size, so that it can change without a change of the format.
        layout::EMPTY_STORE_BYTES.saturating_add(versions)
    }

    /// Returns the size of the state.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            logical: self.logical_size(),
            on_disk: self.engine().size_on_disk(),
        }
    }

    /// Answers a range request at its revision, or at the latest. The header has only the latest
    /// revision. The request must have passed `machine::validate::check_range`.
    pub fn range(&self, request: &api::RangeRequest) -> Result<api::RangeResponse, ReadError> {
        let (counting, response) = self.read_range(request, |read, at, now| {
            let counting = self.shared.counts.begin(request, at);
            let view = EngineView::new(read);
            let query::Answer { kvs, more, count } =
                query::answer(&view, request, at, counting.known())?;
            let response = api::RangeResponse {
                header: header(now),
                kvs,
                more,
                count,
            };
            Ok((counting, response))
        })?;
        counting.end(response.count, None);
        Ok(response)
    }

    fn read_range<T>(
        &self,
        request: &api::RangeRequest,
        read: impl Fn(&dyn Read, Revision, Revision) -> Result<T, Fault>,
    ) -> Result<T, ReadError> {
        match KeyRange::of(&request.key, &request.range_end) {
            // A lookup is consistent without a frozen state.
            KeyRange::One(_) => self.read_at(request.revision, read),
            KeyRange::Between(..) | KeyRange::From(_) => self.read_frozen(request.revision, read),
        }
    }

    /// Answers a transaction that only reads, as `machine::validate::is_read_only` decides.
    pub fn txn(&self, request: &api::TxnRequest) -> Result<api::TxnResponse, ReadError> {
        self.read_frozen(0, |read, at, _| {
            // Loaded after the state was frozen: the second rule of the module.
            let compacted = self.compacted();
            txn::read_only(&EngineView::new(read), request, at, compacted)
        })?
        .map_err(ReadError::Rejected)
    }

    /// Returns the changes of `from..=through`: whole revisions, at least one, and then until about
    /// `max_bytes` are reached. `through` may be in the future.
    ///
    /// # Errors
    /// `Compacted` if `from` is below the compact revision.
    pub fn history(
        &self,
        from: Revision,
        through: Revision,
        max_bytes: usize,
    ) -> Result<History, ReadError> {
        let through = through.min(self.revision());
        let engine = self.engine();
        let snapshot = engine.snapshot();
        let compacted = self.compacted();
        if from < compacted {
            return Err(ApiError::Compacted.into());
        }
        self.under_meter(&*snapshot, |read| {
            history::read(read, from, through, compacted, max_bytes)
        })
    }

    /// Returns a key at a revision.
    ///
    /// # Errors
    /// `Compacted` or `FutureRev` if the revision cannot be read.
    pub fn key_at(&self, key: &[u8], revision: Revision) -> Result<Option<KeyValue>, ReadError> {
        let key = Bytes::copy_from_slice(key);
        let version = self.read_at(revision.0, |read, at, _| {
            EngineView::new(read).find(&key, at)
        })?;
        Ok(version.map(|version| version.key_value(key)))
    }

    /// Hashes the history up to `revision`, or all of it (0). Reads the whole history.
    ///
    /// Compacting changes the history, so hashes can be compared only under equal compact
    /// revisions. etcd makes one exception, and so do we: a hash at the compact revision itself is
    /// still the hash from before the compaction, if it was computed then. So the last few are
    /// remembered.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, ReadError> {
        let (at, _) = self.resolve(revision)?;
        let known = |hash: &&HashKv| hash.hash_revision == at.0;
        if at == self.compacted()
            && let Some(hash) = self.shared.hashes.lock().iter().find(known)
        {
            return Ok(*hash);
        }
        let hash = self.read_frozen(revision, |read, at, _| {
            hash::hash_kv(read, at, self.compacted().min(at))
        })?;
        let mut hashes = self.shared.hashes.lock();
        hashes.retain(|other| other.hash_revision != hash.hash_revision);
        hashes.push_back(hash);
        if hashes.len() > HASHES_REMEMBERED {
            hashes.pop_front();
        }
        Ok(hash)
    }

    /// Hashes the whole store, including compacted versions that are not removed yet. Hashes of
    /// different members cannot be compared.
    pub fn hash(&self) -> Result<u32, ReadError> {
        self.under_meter(&*self.engine().snapshot(), hash::hash_all)
    }

    /// Returns the engine of the current state. After a snapshot is installed, the returned engine
    /// still has the old state.
    pub fn engine(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.shared.engine.read())
    }

    fn revision(&self) -> Revision {
        Revision(self.shared.revision.load(Ordering::Acquire))
    }

    fn compacted(&self) -> Revision {
        Revision(self.shared.compacted.load(Ordering::Acquire))
    }

    /// Reads a frozen state at `wanted`, or at the latest revision if `wanted` is not positive.
    /// `read` gets the state, the revision to read at and the latest revision. Follows the two
    /// rules of the module.
    fn read_frozen<T>(
        &self,
        wanted: i64,
        read: impl Fn(&dyn Read, Revision, Revision) -> Result<T, Fault>,
    ) -> Result<T, ReadError> {
        loop {
            let (at, now) = self.resolve(wanted)?;
            let engine = self.engine();
            let snapshot = engine.snapshot();
            if at >= self.compacted() {
                return self.under_meter(&*snapshot, |frozen| read(frozen, at, now));
            }
        }
    }

    /// Like [`Reader::read_frozen`] for a single lookup: cheaper, because nothing need be frozen.
    fn read_at<T>(
        &self,
        wanted: i64,
        read: impl Fn(&dyn Read, Revision, Revision) -> Result<T, Fault>,
    ) -> Result<T, ReadError> {
        loop {
            let (at, now) = self.resolve(wanted)?;
            let engine = self.engine();
            let result = self.under_meter(&*engine, |newest| read(newest, at, now))?;
            if at >= self.compacted() {
                return Ok(result);
            }
        }
    }

    /// Reads through the meter, if there is one. The result of a stopped read is discarded.
    fn under_meter<T>(
        &self,
        read: &dyn Read,
        look: impl FnOnce(&dyn Read) -> Result<T, Fault>,
    ) -> Result<T, ReadError> {
        let Some(meter) = self.meter.as_deref() else {
            return Ok(look(read)?);
        };
        let found = look(&Metered { read, meter });
        match meter.has_stopped() {
            true => Err(ReadError::Stopped),
            false => Ok(found?),
        }
    }

    /// Returns the revision to read at for `wanted`, and the latest revision.
    fn resolve(&self, wanted: i64) -> Result<(Revision, Revision), ApiError> {
        let now = self.revision();
        match Revision(wanted) {
            at if at <= Revision(0) => Ok((now, now)),
            at if at > now => Err(ApiError::FutureRev),
            at if at < self.compacted() => Err(ApiError::Compacted),
            at => Ok((at, now)),
        }
    }
}
