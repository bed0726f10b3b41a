//! One committed entry on its way into the state machine, and what happens if it cannot get there.
//!
//! What is proposed can be applied: commands are checked before they are proposed, and decoded by
//! the same code with the same limits everywhere. If an entry cannot be applied all the same (a
//! defect, a member of another release that led, a membership change that no member can read),
//! no member may go on past it by itself, since members with and without it would differ. So the
//! member stops and names the entry: index, term, hash and reason.
//!
//! All members stop there, at every start. The way out is the operator's: `--skip-log-entry` with
//! index and hash, on all members, makes them go on as if the entry were empty. An entry is
//! skipped only if its hash is the one named, and only if it cannot be applied: it is tried first.
//! The applied index moves past it and nothing else changes, so all members that skip it stay
//! equal. Commands in it have no outcome; their callers learn that it is unknown.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use conclave_storage::Fault;
use conclave_storage::log::{EntryKind, entry_checksum};
use conclave_storage::machine::{CommandKind, Done, Machine};

use crate::consensus::{CommittedEntry, Position, configuration};

/// A log entry that is not to be applied, as its member named it when it stopped there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedEntry {
    /// The entry's index.
    pub index: u64,
    /// Its hash: [`conclave_storage::log::entry_checksum`].
    pub hash: u32,
}

impl fmt::Display for SkippedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:08x}", self.index, self.hash)
    }
}

/// Names the entry that is being applied if the state machine panics.
struct Applying<'a>(&'a CommittedEntry);

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let fault = cannot_be_applied(self.0, "the state machine panicked on it");
            tracing::error!(%fault, "the state machine panicked on a log entry");
        }
    }
}

/// Applies one entry of the log, of whatever kind.
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
    Ok(vec![Done {
        member_id: header.member_id,
        request_id: header.request_id,
        kind: CommandKind::MemberChange,
        outcome: machine.apply_member(index, term, change)?,
    }])
}

/// The entry to be skipped at this index, if there is one.
pub(crate) fn named(skipped: &[SkippedEntry], index: u64) -> Option<SkippedEntry> {
    skipped.iter().find(|entry| entry.index == index).copied()
}

/// Goes on without this entry, which the operator named. To be called with nothing applied and not
/// committed.
///
/// # Errors
/// [`Fault::NotSkipped`] if it is another entry than the one that was named, or if it can be
/// applied. The state machine must not be used any more after any error.
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
        // Of the disk, not of the entry.
        Ok(Err(fault)) => return Err(fault),
        Err(_panic) => {
            machine.forget_uncommitted()?;
            "the state machine panics on it".to_owned()
        }
    };
    let hash = format!("{hash:08x}");
    tracing::error!(
        index,
        term,
        hash,
        reason,
        "a log entry is skipped because of --skip-log-entry: what it says is not done, here and on \
         no other member"
    );
    // An empty entry: the applied index moves.
    machine.apply(index, term, &Bytes::new())?;
    Ok(())
}

/// Logs what the flag will do, at every start: it must not stay for longer than it is needed.
pub(crate) fn announce(skipped: &[SkippedEntry], applied: u64) {
    for named in skipped {
        let (index, entry) = (named.index, named.to_string());
        if index <= applied {
            tracing::warn!(
                entry,
                applied,
                "--skip-log-entry names an entry that this member has behind it: remove the flag \
                 once no member needs it"
            );
        } else {
            tracing::warn!(
                entry,
                applied,
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
