//! Everything that can be seen, held against the rules after each step.

use std::sync::Arc;

use conclave_core::FatalError;
use conclave_core::driven::Driven;
use conclave_storage::engine::Engine;
use conclave_storage::log::entry_checksum;
use conclave_storage::{Index, MemberId, Revision};

use super::{World, fault};
use crate::oracle::{Oracle, State, Violation};

/// Bytes of history that are compared at a time.
const HISTORY_BYTES: usize = 1 << 20;
/// States are compared at every so many entries.
const COMPARED_ENTRIES: u64 = 16;

/// What is known of a member beside what it knows itself.
#[derive(Default)]
pub(super) struct Seen {
    /// The first revision of its history that was not compared.
    pub(super) revision: i64,
    /// The first entry of its log that was not compared.
    pub(super) index: Index,
    /// The last entry that it had applied.
    pub(super) applied: Index,
    /// Its state, to notice when a snapshot takes its place.
    pub(super) state: Option<Arc<dyn Engine>>,
}

impl World {
    /// Lets the tasks run, and looks at everything.
    pub(super) fn look(&mut self) -> Result<(), Violation> {
        self.run_tasks();
        self.network.tidy();
        for position in 0..self.members.len() {
            self.look_at(position)?;
        }
        for answered in self.heard.answers() {
            self.judge(answered)?;
        }
        for (number, watched) in self.heard.watched() {
            self.watched(number, watched)?;
        }
        self.follow_watchers();
        Ok(())
    }

    /// Until none has anything to do, or nearly so: what is left runs with the next step.
    fn run_tasks(&self) {
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Compares what a member has with what the oracle knows, and notices its end.
    pub(super) fn look_at(&mut self, position: usize) -> Result<(), Violation> {
        let member = &self.members[position];
        let Some(driven) = &member.driven else {
            return Ok(());
        };
        let ended = driven.ended();
        // Also if it has ended: its last turn may have applied what no other member has applied.
        self.compare(position)?;
        let member = &mut self.members[position];
        match ended {
            None => Ok(()),
            Some(FatalError::Removed) => {
                member.is_gone = true;
                self.oracle.ends_removed(member.id);
                self.kill(position, "ends, since it was removed");
                Ok(())
            }
            Some(error) => Err(format!("{} ended: {error}", member.id)),
        }
    }

    fn compare(&mut self, position: usize) -> Result<(), Violation> {
        let (member, seen) = (&self.members[position], &mut self.seen[position]);
        let Some(driven) = &member.driven else {
            return Ok(());
        };
        let status = driven.handle().status();
        if status.is_leader {
            self.oracle.leads(member.id, status.term)?;
        }
        let state = driven.handle().reader().engine();
        let is_installed = seen
            .state
            .as_ref()
            .is_some_and(|seen| !Arc::ptr_eq(seen, &state));
        seen.state = Some(state);
        if is_installed {
            // All that it has now is held against the history.
            (seen.revision, seen.applied) = (2, Index::NONE);
            self.trace
                .note(format_args!("{} goes on with a snapshot", member.id));
        }
        if seen.applied != status.applied_index {
            seen.applied = status.applied_index;
            let is_compared = is_installed || seen.applied.0.is_multiple_of(COMPARED_ENTRIES);
            compare_states(member.id, driven, is_compared, &mut self.oracle)?;
        }
        compare_logs(member.id, driven, seen, &mut self.oracle)?;
        let now_ms = self.time.now_ms();
        compare_histories(member.id, driven, seen, now_ms, &mut self.oracle)
    }
}

fn compare_states(
    id: MemberId,
    driven: &Driven,
    is_compared: bool,
    oracle: &mut Oracle,
) -> Result<(), Violation> {
    let reader = driven.handle().reader();
    let (index, membership) = (reader.applied().index, reader.membership());
    oracle.has_members(id, index, &membership)?;
    oracle.has_users(id, &reader.auth())?;
    if is_compared {
        let failed = |error: &dyn std::fmt::Display| format!("{id}: {error}");
        let hash = reader.hash_kv(0).map_err(|error| failed(&error))?;
        let at = (index, hash.compact_revision);
        let state = State {
            hash: hash.hash,
            leases: reader.leases().map_err(|error| failed(&error))?,
            auth_revision: reader.auth().revision(),
        };
        oracle.has_state(id, at, state)?;
    }
    Ok(())
}

/// What is committed may not be in the log of this member yet; what is applied is, or was.
fn compare_logs(
    id: MemberId,
    driven: &Driven,
    seen: &mut Seen,
    oracle: &mut Oracle,
) -> Result<(), Violation> {
    let log = driven.log();
    seen.index = seen.index.max(log.first_index());
    while seen.index <= seen.applied {
        let entries = log
            .entries(seen.index, seen.index.next(), u64::MAX)
            .map_err(fault)?;
        let Some(entry) = entries.first() else { break };
        let hash = entry_checksum(entry.index, entry.term, entry.kind, &entry.data);
        oracle.has_committed(id, entry.index, (entry.term, hash))?;
        seen.index = seen.index.next();
    }
    Ok(())
}

fn compare_histories(
    id: MemberId,
    driven: &Driven,
    seen: &mut Seen,
    now_ms: u64,
    oracle: &mut Oracle,
) -> Result<(), Violation> {
    let reader = driven.handle().reader();
    let applied = reader.applied().revision;
    if seen.revision > applied.0 {
        return Ok(());
    }
    // What is older was compared with other members before it was compacted.
    let kept = reader.applied().compacted.0 + 1;
    seen.revision = seen.revision.max(kept);
    let from = Revision(seen.revision);
    let history = reader.history(from, applied, HISTORY_BYTES);
    let history = history.map_err(|error| format!("{id}: {error}"))?;
    for changes in &history.changes {
        oracle.has_applied(id, changes, now_ms)?;
    }
    seen.revision = history.next.0;
    Ok(())
}
