//! Clients: what they ask of a member, and what became of it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use conclave_core::caller::{Caller, User};
use conclave_core::command::LogCommand;
use conclave_core::handle::Handle;
use conclave_core::leader_queries;
use conclave_core::outcome::{ProposeError, Rejected};
use conclave_core::watch::WatchError;
use conclave_proto::ApiError;
use conclave_proto::command::member_change::Change;
use conclave_proto::etcdserverpb::{
    CompactionRequest, LeaseGrantRequest, PutRequest, RangeRequest,
};
use conclave_storage::machine::Changes;
use conclave_storage::membership as rules;
use conclave_storage::{KeyRange, LeaseId, MemberId, Revision};

use crate::administration::{self, Administration};

/// Keys that clients write to.
pub const KEYS: u32 = 6;

/// Who asks, if the cluster has users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// May do everything.
    Root,
    /// May do what the administrators grant, and later revoke.
    Clerk,
}

impl By {
    /// The user's name.
    pub fn name(self) -> &'static str {
        match self {
            By::Root => "root",
            By::Clerk => "clerk",
        }
    }

    /// The caller of what this user proposes now through a member, as the service has it.
    fn caller(self, handle: &Handle) -> Caller {
        let auth = handle.reader().auth();
        match auth.is_enabled() {
            false => Caller::Anonymous,
            true => Caller::User(Arc::new(User {
                name: self.name().to_owned(),
                auth_revision: auth.revision(),
            })),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Writes a value that nothing else writes.
    Put {
        /// Where.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// The lease that the key is attached to; 0 for none.
        lease: i64,
        /// Who writes.
        by: By,
    },
    /// A linearizable read of this key.
    Read {
        /// The key.
        key: Bytes,
    },
    /// Grants a lease.
    Grant {
        /// Its id.
        lease: i64,
        /// Seconds that it is to live.
        ttl: i64,
    },
    /// Renews a lease.
    Renew {
        /// Its id.
        lease: i64,
    },
    /// Compacts the history.
    Compact {
        /// The revision that stays readable.
        revision: i64,
    },
    /// Changes the members.
    Change(Change),
    /// Changes users and roles.
    Administer(Administration),
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was done at this revision.
    Written(i64),
    /// What was read, at a revision.
    Read(Option<Bytes>, i64),
    /// Seconds that the lease lives from then on.
    Lives(i64),
    /// The history was compacted.
    Compacted,
    /// The members were changed.
    Changed,
    /// Users and roles are as asked for.
    Administered,
    /// The user may not do it, so it was not done and will not be.
    Denied,
    /// It was not done, and will not be.
    Refused,
    /// It may have been done, or may be done later.
    Unknown,
}

/// Lower bounds of the state that a question is answered from.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// The greatest revision in a reply.
    pub revision: i64,
    /// The greatest auth revision that any member had.
    pub auth_revision: u64,
}

/// A question that was answered.
#[derive(Debug)]
pub struct Answered {
    /// Its number among all questions.
    pub number: u64,
    /// What was asked.
    pub ask: Ask,
    /// Lower bounds when it was asked.
    pub floor: Floor,
    /// The world's time when it was asked.
    pub asked_at_ms: u64,
    /// What became of it.
    pub answer: Answer,
}

/// What the clients have heard since it was looked at last.
#[derive(Clone, Default)]
pub struct Heard {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    answered: Vec<Answered>,
    /// What watchers got, by their number.
    watched: Vec<(u64, Watched)>,
}

/// What a watcher got.
#[derive(Clone, Debug)]
pub enum Watched {
    /// Revisions.
    Changes(Vec<Arc<Changes>>),
    /// The revision that it needs is gone; this is the compact revision.
    Compacted(i64),
}

impl Heard {
    /// Answers since the last call, in the order of the questions: tokio's `watch` channel wakes
    /// those that wait for the same thing in an order that no seed decides.
    pub fn answers(&self) -> Vec<Answered> {
        let mut answers = self.with(|inside| std::mem::take(&mut inside.answered));
        answers.sort_by_key(|answered| answered.number);
        answers
    }

    /// What watchers got since the last call, in order.
    pub fn watched(&self) -> Vec<(u64, Watched)> {
        self.with(|inside| std::mem::take(&mut inside.watched))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        work(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Asks a member, and reports the answer.
pub async fn ask(
    handle: Handle,
    (number, ask): (u64, Ask),
    floor: Floor,
    asked_at_ms: u64,
    heard: Heard,
) {
    let answer = answer(&handle, &ask).await;
    let answered = Answered {
        number,
        ask,
        floor,
        asked_at_ms,
        answer,
    };
    heard.with(|inside| inside.answered.push(answered));
}

async fn answer(handle: &Handle, ask: &Ask) -> Answer {
    match ask {
        Ask::Put {
            key,
            value,
            lease,
            by,
        } => {
            let put = PutRequest {
                key: key.clone(),
                value: value.clone(),
                lease: *lease,
                ..PutRequest::default()
            };
            if !may_put(handle, &put, *by).await {
                return Answer::Denied;
            }
            match propose(handle, put, *by).await {
                Ok(reply) => Answer::Written(reply.header.map_or(0, |h| h.revision)),
                Err(error) => not_done(error),
            }
        }
        Ask::Grant { lease, ttl } => {
            let grant = LeaseGrantRequest {
                id: *lease,
                ttl: *ttl,
            };
            match propose(handle, grant, By::Root).await {
                Ok(reply) => Answer::Lives(reply.ttl),
                Err(error) => not_done(error),
            }
        }
        Ask::Compact { revision } => {
            let compaction = CompactionRequest {
                revision: *revision,
                physical: false,
            };
            match propose(handle, compaction, By::Root).await {
                Ok(_) => Answer::Compacted,
                Err(error) => not_done(error),
            }
        }
        Ask::Renew { lease } => match leader_queries::keep_alive(handle, LeaseId(*lease)).await {
            Ok(Some(ttl)) => Answer::Lives(ttl),
            Ok(None) | Err(_) => Answer::Unknown,
        },
        Ask::Change(change) => change_members(handle, change).await,
        Ask::Administer(what) => match administration::administer(handle, *what).await {
            Ok(()) => Answer::Administered,
            Err(error) => not_done(error),
        },
        Ask::Read { key } => {
            if handle.linearize().await.is_err() {
                return Answer::Unknown;
            }
            let range = RangeRequest {
                key: key.clone(),
                ..RangeRequest::default()
            };
            match handle.reader().range(&range) {
                Ok(reply) => {
                    let revision = reply.header.map_or(0, |header| header.revision);
                    Answer::Read(reply.kvs.first().map(|kv| kv.value.clone()), revision)
                }
                Err(_) => Answer::Unknown,
            }
        }
    }
}

/// Proposes a command in the name of a user.
pub(crate) async fn propose<C: LogCommand>(
    handle: &Handle,
    command: C,
    by: By,
) -> Result<C::Reply, ProposeError> {
    let handle = handle.in_the_name_of(by.caller(handle));
    handle.propose(command).await
}

/// Judges a put as the service does before it proposes: a member that would deny it catches up
/// with the leader first.
async fn may_put(handle: &Handle, put: &PutRequest, by: By) -> bool {
    let may_now = || {
        let auth = handle.reader().auth();
        let permits = auth.permits_now(by.name());
        permits.and_then(|permits| permits.put(put)).is_ok()
    };
    may_now() || handle.linearize().await.is_err() || may_now()
}

/// What the service does below its front, but for the rules that ask who is up: the cluster has to
/// bear a change at any time.
async fn change_members(handle: &Handle, change: &Change) -> Answer {
    if handle.linearize().await.is_err() {
        return Answer::Refused;
    }
    let rule = match change.clone() {
        Change::Add(member) if member.is_learner => rules::Change::AddLearner(member),
        Change::Add(member) => rules::Change::Add(member),
        Change::Promote(id) => rules::Change::Promote { id: MemberId(id) },
        Change::Remove(id) => rules::Change::Remove { id: MemberId(id) },
        Change::Update(_) => unreachable!("no URL changes"),
    };
    let max_learners = handle.settings().reconfiguration.max_learners;
    let membership = handle.reader().membership();
    if membership.check_proposal(&rule, max_learners).is_err() {
        return Answer::Refused;
    }
    match handle.propose_change(change.clone()).await {
        Ok(_) => Answer::Changed,
        Err(error) => not_done(error),
    }
}

fn not_done(error: ProposeError) -> Answer {
    match error {
        ProposeError::Rejected(Rejected(ApiError::PermissionDenied)) => Answer::Denied,
        ProposeError::Refused(_) | ProposeError::Rejected(_) => Answer::Refused,
        ProposeError::Unknown(_) => Answer::Unknown,
    }
}

/// Watches every key from a revision on, through one member, until that stops.
pub async fn watch(handle: Handle, number: u64, from: i64, heard: Heard) {
    let everything = KeyRange::prefix(Bytes::new());
    let watching = handle.watches().subscribe(everything, Revision(from));
    let Ok(mut subscription) = watching.await else {
        return;
    };
    loop {
        let watched = match subscription.next().await {
            Ok(changes) => Watched::Changes(changes),
            Err(WatchError::Compacted(revision)) => Watched::Compacted(revision.0),
            Err(WatchError::Closed | WatchError::Read(_)) => return,
        };
        let is_last = matches!(watched, Watched::Compacted(_));
        heard.with(|inside| inside.watched.push((number, watched)));
        if is_last {
            return;
        }
    }
}
