//! A member's data directory, opened and checked: the two stores, and who the member is.
//!
//! # A fresh directory
//!
//! Two things are written before the first entry: the cluster's beginning into the state (durably),
//! then the first voters into the log (durably). A crash between or before leaves a directory that
//! the next start finishes: the state knows whether it has begun, the log whether it has voters,
//! and the beginning is a function of the configuration.
//!
//! # Two stores, one story
//!
//! What the state has applied must be in the log or before it, for entries in a gap between would
//! be lost. A state behind the log is the usual case after a crash, and is caught up by applying
//! again; a state ahead of the log, or a log that begins after the state's end, is a directory put
//! together from two, and is refused.

use std::path::Path;
use std::sync::Arc;

use conclave_proto::command::Member;
use conclave_storage::engine::Engine;
use conclave_storage::engine::rocks::{RocksEngine, RocksOptions};
use conclave_storage::log::{Log, LogState};
use conclave_storage::machine::{Genesis, Limits, Machine};
use conclave_storage::reader::Reader;
use conclave_storage::{Fault, layout, snapshot};

use crate::StartError;
use crate::config::{Config, InitialClusterState};
use crate::consensus::node;
use crate::handle;
use crate::identity::Identity;

/// A member's stores, opened and of one story.
pub struct Stores {
    pub(crate) identity: handle::Identity,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) machine: Machine,
    pub(crate) reader: Reader,
    pub(crate) log: Log,
    pub(crate) log_state: LogState,
}

/// Opens the directory a configuration names, or makes it.
pub(crate) fn open(config: &Config) -> Result<Stores, StartError> {
    layout::check_or_create_version(&config.member_dir())?;
    let state_dir = config.state_dir();
    snapshot::finish_restore(&state_dir)?;
    let log = RocksEngine::open(&config.log_dir(), layout::LOG_SPACES, RocksOptions::log())?;
    let cache_bytes = usize::try_from(config.state_cache_bytes).unwrap_or(usize::MAX);
    let options = RocksOptions::state(cache_bytes);
    let state = RocksEngine::open(&state_dir, layout::STATE_SPACES, options)?;
    let rows = usize::try_from(config.compaction_batch_limit).unwrap_or(usize::MAX);
    let stores = Stores::on(
        Arc::new(log),
        Arc::new(state),
        &Identity::of(config),
        Limits {
            compaction_rows: rows,
        },
        config.initial_cluster_state == InitialClusterState::New,
    )?;
    stores.ok_or_else(|| StartError::NotAMember {
        data_dir: config.data_dir.clone(),
    })
}

impl Stores {
    /// The same on engines that are open already. `None` if they are empty and `may_begin` is
    /// false, or if this member is not one of the cluster in there.
    pub fn on(
        log_engine: Arc<dyn Engine>,
        state_engine: Arc<dyn Engine>,
        origin: &Identity,
        limits: Limits,
        may_begin: bool,
    ) -> Result<Option<Stores>, Fault> {
        let (mut machine, reader) = Machine::open(Arc::clone(&state_engine), limits)?;
        let (mut log, mut log_state) = Log::open(Arc::clone(&log_engine))?;
        check_one_story(reader.applied().index, &log_state)?;
        if reader.cluster_id() == 0 {
            if !may_begin {
                return Ok(None);
            }
            let members = origin.members.clone();
            machine.bootstrap(&Genesis {
                cluster_id: origin.cluster_id,
                members,
            })?;
        }
        if log_state.conf_state.is_empty() {
            let voters = reader
                .members()
                .iter()
                .filter(|m| !m.is_learner)
                .map(|m| m.id)
                .collect();
            log.bootstrap(node::initial_conf_state(voters))?;
            (log, log_state) = Log::open(log_engine)?;
        }
        let Some(member_id) = own_id(origin, &reader.members()) else {
            return Ok(None);
        };
        let identity = handle::Identity {
            cluster_id: reader.cluster_id(),
            member_id,
        };
        Ok(Some(Stores {
            identity,
            engine: state_engine,
            machine,
            reader,
            log,
            log_state,
        }))
    }
}

/// Which of the members this is. A lone member stays who it was when its URLs change.
fn own_id(origin: &Identity, members: &[Member]) -> Option<u64> {
    match members {
        [lone] => Some(lone.id),
        several => several
            .iter()
            .find(|member| member.id == origin.member_id)
            .map(|member| member.id),
    }
}

fn check_one_story(applied: u64, log: &LogState) -> Result<(), Fault> {
    let damaged = |detail| {
        Err(Fault::Damaged {
            path: Path::new("member").to_owned(),
            detail,
        })
    };
    if applied > log.last_index {
        return damaged(format!(
            "the state has applied entry {applied}, and the raft log ends at {}: the log was lost, \
             replaced, or written with --unsafe-no-fsync; restore the member from a backup",
            log.last_index
        ));
    }
    if applied + 1 < log.first_index {
        return damaged(format!(
            "the state has applied entry {applied}, and the raft log begins at {}: the state was \
             lost or replaced; restore the member from a backup",
            log.first_index
        ));
    }
    Ok(())
}
