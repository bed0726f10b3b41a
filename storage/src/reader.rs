//! The read side of the state: ranges, history, leases, hashes; from any thread, without ever
//! holding up the applier.
//!
//! A read happens at a revision and looks at a frozen state of the engine. Two rules make that
//! sound:
//!
//! * The machine publishes a revision *after* the write that holds it. So: take the published
//!   revision, then the frozen state; it holds at least that revision, and rows of later ones are
//!   passed over because a read names its revision.
//! * The machine publishes a compact revision *before* it removes what that makes unreadable. So:
//!   take the frozen state, then the published compact revision. If the read is not below it,
//!   nothing it needs was missing. If it is, the read is refused, or, if it only wanted the latest,
//!   done again at the latest of now.
//!
//! A snapshot from the leader replaces the engine. Both rules hold across that as well, since the
//! compact revision is published before the new engine and the revision after it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use conclave_proto::command::Member;
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::mvccpb::KeyValue;

use crate::engine::metered::Metered;
use crate::engine::{Engine, Meter, Read};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;
use crate::membership::Membership;
use crate::mvcc::query::header;
use crate::mvcc::range::KeyRange;
use crate::mvcc::view::{EngineView, find_row};
use crate::mvcc::{HashKv, History, hash, history, query, txn};

mod leases;
pub mod pages;
mod publish;
pub mod stream;

/// Why a read gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// By rule: what is asked for is not there to be read.
    #[error("{0}")]
    Rejected(ApiError),
    /// The disk failed. The process should stop.
    #[error(transparent)]
    Fault(Fault),
    /// The reader's meter stopped it; see [`Reader::metered`].
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

/// How far the committed state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The index of the last entry in it.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// The revision.
    pub revision: Revision,
    /// The compact revision: -1 if nothing was ever compacted.
    pub compacted: Revision,
}

/// How large the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Keys, values and a fixed overhead of all versions not removed yet, and of the store itself:
    /// what quotas speak of. Never 0.
    pub logical: u64,
    /// What the engine takes.
    pub on_disk: u64,
}

/// How many hashes are remembered: see [`Reader::hash_kv`].
const HASHES_REMEMBERED: usize = 10;

/// The read side. Cheap to clone, shared by all threads.
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
    hashes: Mutex<VecDeque<HashKv>>,
}

impl Reader {
    /// The same reader, whose reads go on as `meter` says; those that it stops fail with
    /// [`ReadError::Stopped`].
    #[must_use]
    pub fn metered(&self, meter: Arc<dyn Meter>) -> Reader {
        Reader {
            shared: Arc::clone(&self.shared),
            meter: Some(meter),
        }
    }

    /// How far the committed state is. At least all that belongs to the index returned is readable.
    pub fn applied(&self) -> Applied {
        let shared = &self.shared;
        let index = shared.index.load(Ordering::Acquire);
        Applied {
            index,
            term: shared.term.load(Ordering::Acquire),
            revision: self.revision(),
            compacted: self.compacted(),
        }
    }

    /// The last compact revision below which everything superseded is removed.
    pub fn compaction_finished(&self) -> Revision {
        Revision(self.shared.compaction_finished.load(Ordering::Acquire))
    }

    /// The id of the cluster; 0 before it is bootstrapped.
    pub fn cluster_id(&self) -> u64 {
        self.shared.cluster_id.load(Ordering::Acquire)
    }

    /// The members, by id.
    pub fn members(&self) -> Vec<Member> {
        lock(&self.shared.membership).members()
    }

    /// The members and who was one, with the rules for changing that.
    pub fn membership(&self) -> Arc<Membership> {
        lock(&self.shared.membership).clone()
    }

    /// The alarms that are raised, by type and member.
    pub fn alarms(&self) -> Vec<api::AlarmMember> {
        lock(&self.shared.alarms).to_vec()
    }

    /// What quotas speak of: [`Sizes::logical`] without asking the engine, for each write to look
    /// at.
    pub fn logical_size(&self) -> u64 {
        let logical = self.shared.logical_size.load(Ordering::Acquire);
        let versions = u64::try_from(logical).expect("what is removed was added before");
        // Not part of what is stored, so that it can change without a change of the format.
        layout::EMPTY_STORE_BYTES.saturating_add(versions)
    }

    /// How large the state is.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            logical: self.logical_size(),
            on_disk: self.engine().size_on_disk(),
        }
    }

    /// Answers a range request, at its revision or at the latest. The header has the latest
    /// revision only. The request must have passed [`crate::machine::validate::check_range`].
    pub fn range(&self, request: &api::RangeRequest) -> Result<api::RangeResponse, ReadError> {
        let range = KeyRange::of(&request.key, &request.range_end);
        let (answer, now) = match range {
            // One seek, which is consistent by itself.
            KeyRange::Point(_) => self.read_at(request.revision, |read, at, now| {
                Ok((query::answer(&EngineView { read }, request, at)?, now))
            }),
            KeyRange::Interval { .. } => self.read_frozen(request.revision, |read, at, now| {
                Ok((query::answer(&EngineView { read }, request, at)?, now))
            }),
        }?;
        let query::Answer { kvs, more, count } = answer;
        Ok(api::RangeResponse {
            header: header(now),
            kvs,
            more,
            count,
        })
    }

    /// Answers a transaction that [`crate::machine::validate::is_read_only`].
    pub fn txn(&self, request: &api::TxnRequest) -> Result<api::TxnResponse, ReadError> {
        self.read_frozen(0, |read, at, _| {
            // Loaded after the state was frozen, as it must be.
            let compacted = self.compacted();
            txn::read_only(&EngineView { read }, request, at, compacted)
        })?
        .map_err(ReadError::Rejected)
    }

    /// The changes of `from..=through`: whole revisions, at least one, and then until about
    /// `max_bytes` are reached. `through` may lie ahead. `Compacted` if `from` is below the compact
    /// revision.
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

    /// A key as of a revision. `Compacted` or `FutureRev` if that cannot be read.
    pub fn key_at(&self, key: &[u8], revision: Revision) -> Result<Option<KeyValue>, ReadError> {
        let version = self.read_at(revision.0, |read, at, _| find_row(read, key, at))?;
        let version = version.filter(|version| version.head.is_put());
        Ok(version.map(|version| version.key_value(Bytes::copy_from_slice(key))))
    }

    /// The hash of the history up to `revision`, or all of it (0). Reads everything there is.
    ///
    /// Compacting changes what there is to hash, so hashes can be compared only if computed under
    /// equal compact revisions. One exception is expected of us: having compacted at a revision,
    /// its hash is still the one from before, if it was asked for before. So the last few are
    /// remembered.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, ReadError> {
        let (at, _) = self.resolve(revision)?;
        let known = |hash: &&HashKv| hash.hash_revision == at.0;
        if at == self.compacted()
            && let Some(hash) = lock(&self.shared.hashes).iter().find(known)
        {
            return Ok(*hash);
        }
        let hash = self.read_frozen(revision, |read, at, _| {
            hash::hash_kv(read, at, self.compacted().min(at))
        })?;
        let mut hashes = lock(&self.shared.hashes);
        hashes.retain(|other| other.hash_revision != hash.hash_revision);
        hashes.push_back(hash);
        if hashes.len() > HASHES_REMEMBERED {
            hashes.pop_front();
        }
        Ok(hash)
    }

    /// A hash of everything in the store, what is not removed yet included. Stable while nothing is
    /// written; not to be compared between members.
    pub fn hash(&self) -> Result<u32, ReadError> {
        self.under_meter(&*self.engine().snapshot(), hash::hash_all)
    }

    /// The engine the state is in now. Who holds it across a change reads the old state to the end.
    pub fn engine(&self) -> Arc<dyn Engine> {
        let engine = self.shared.engine.read();
        Arc::clone(&engine.unwrap_or_else(PoisonError::into_inner))
    }

    fn revision(&self) -> Revision {
        Revision(self.shared.revision.load(Ordering::Acquire))
    }

    fn compacted(&self) -> Revision {
        Revision(self.shared.compacted.load(Ordering::Acquire))
    }

    /// Reads a frozen state at `wanted`, or at the latest revision if that is not positive. `read`
    /// gets the state, the revision to read at and the latest. See the rules at the head of the
    /// module.
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

    /// The same for what is a single look at the engine: cheaper, for nothing need be frozen.
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

    /// Reads through the meter, if there is one. What a stopped read found is not returned.
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

    /// The revision to read at for a wanted one, and the latest.
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

/// What these locks guard is replaced whole, so a panic elsewhere cannot have left it half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
