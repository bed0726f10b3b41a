//! Applying one committed entry to the state machine, and handling an entry that cannot be applied.
//!
//! Every proposed entry can be applied: commands are checked before they are proposed, and decoded
//! by the same code with the same limits on every member. If an entry still cannot be applied (a
//! defect, a leader of another release, a membership change that no member can read), no member may
//! skip it by itself, since members with and without the entry would differ. So the member stops
//! and reports the entry: index, term, hash and reason.
//!
//! All members stop at this entry, at every start, until the operator acts: `--skip-log-entry` with
//! index and hash, on all members, makes them continue as if the entry were empty. An entry is
//! skipped only if its hash is the given one, and only if it cannot be applied: the member tries to
//! apply it first. The applied index moves past the entry and nothing else changes, so all members
//! that skip it stay equal. The outcome of its commands is unknown, and their callers get that
//! error.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use conclave_storage::log::{EntryKind, entry_checksum};
use conclave_storage::machine::{Done, Machine};
use conclave_storage::{Fault, Index};

use crate::consensus::{CommittedEntry, Position, configuration};

/// A log entry to skip, as the member reported it when it stopped at the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedEntry {
    /// The entry's index.
    pub index: Index,
    /// The entry's hash: [`conclave_storage::log::entry_checksum`].
    pub hash: u32,
}

impl fmt::Display for SkippedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:08x}", self.index, self.hash)
    }
}

/// Logs the entry that is being applied if the state machine panics.
struct Applying<'a>(&'a CommittedEntry);

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let fault = cannot_be_applied(self.0, "the state machine panicked on it");
            tracing::error!(%fault, "the state machine panicked on a log entry");
        }
    }
}

/// Applies one log entry of any kind.
pub(crate) fn apply(machine: &mut Machine, entry: &CommittedEntry) -> Result<Vec<Done>, Fault> {
    let _applying = Applying(entry);
    let Position { index, term } = entry.position;
    if entry.kind == EntryKind::Normal {
        return machine.apply(index, term, &entry.payload);
    }
    let (header, change) =
        configuration::change_in(entry.kind, &entry.payload).ok_or_else(|| {
            cannot_be_applied(
                entry,
                "it is a membership change that this release cannot read",
            )
        })?;
    Ok(vec![machine.apply_member(index, term, header, change)])
}

/// Returns the entry to skip at this index, if there is one.
pub(crate) fn to_skip(skipped: &[SkippedEntry], index: Index) -> Option<SkippedEntry> {
    skipped.iter().find(|entry| entry.index == index).copied()
}

/// Skips this entry, which the operator named. Must be called with nothing applied and uncommitted.
///
/// # Errors
/// [`Fault::NotSkipped`] if the entry is not the named one, or if it can be applied. The state
/// machine must not be used after any error.
pub(crate) fn skip(
    machine: &mut Machine,
    entry: &CommittedEntry,
    named: SkippedEntry,
) -> Result<(), Fault> {
    let Position { index, term } = entry.position;
    let hash = checksum(entry);
    let not_skipped = |reason: String| Fault::NotSkipped {
        index,
        term,
        hash,
        reason,
    };
    if hash != named.hash {
        return Err(not_skipped(format!(
            "--skip-log-entry={named} names another one"
        )));
    }
    let tried = catch_unwind(AssertUnwindSafe(|| apply(machine, entry)));
    let reason = match tried {
        Ok(Ok(_)) => return Err(not_skipped("it can be applied".to_owned())),
        Ok(Err(Fault::Entry { reason, .. })) => reason,
        // The fault is the disk's, not the entry's.
        Ok(Err(fault)) => return Err(fault),
        Err(_panic) => {
            machine.forget_uncommitted()?;
            "the state machine panics on it".to_owned()
        }
    };
    let hash = format!("{hash:08x}");
    tracing::error!(
        index = index.0,
        term = term.0,
        hash,
        reason,
        "a log entry is skipped because of --skip-log-entry: what it says is not done, here and on \
         no other member"
    );
    // Apply an empty entry instead: only the applied index moves.
    machine.apply(index, term, &Bytes::new())?;
    Ok(())
}

/// Logs the effect of the flag at every start: it must be removed when it is not needed any longer.
pub(crate) fn announce(skipped: &[SkippedEntry], applied: Index) {
    for named in skipped {
        let (index, entry) = (named.index, named.to_string());
        if index <= applied {
            tracing::warn!(
                entry,
                applied = applied.0,
                "--skip-log-entry names an entry that this member has behind it: remove the flag \
                 once no member needs it"
            );
        } else {
            tracing::warn!(
                entry,
                applied = applied.0,
                "--skip-log-entry: this log entry will be skipped"
            );
        }
    }
}

fn cannot_be_applied(entry: &CommittedEntry, reason: &str) -> Fault {
    let Position { index, term } = entry.position;
    Fault::Entry {
        index,
        term,
        hash: checksum(entry),
        reason: reason.to_owned(),
    }
}

fn checksum(entry: &CommittedEntry) -> u32 {
    let Position { index, term } = entry.position;
    entry_checksum(index, term, entry.kind, &entry.payload)
}

#[cfg(test)]
mod tests;
