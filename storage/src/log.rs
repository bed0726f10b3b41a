//! The durable raft log of one member.
//!
//! The log is a run of entries without gaps, `first_index..=last_index`; what came before
//! `first_index` is in the state. Beside the entries are three records: the hard state, the
//! configuration state (opaque here) and the compaction point, that is, index and term of the last
//! entry that is gone. One [`Append`] is one batch: new entries, the removal of what they replace,
//! hard state and configuration state are there together or not at all.
//!
//! For example, with entries 5, 6 and 7 in the log and 4 compacted away, an append of entry 6 of a
//! later term leaves 5 and the new 6: 7 is removed in the same batch. Compacting through 5 then
//! leaves 6.
//!
//! What holds after [`Log::open`], or it fails with [`Fault::Damaged`]:
//!
//! * indexes are contiguous from the compaction point on; terms do not decrease;
//! * every entry and record has its checksum;
//! * the commit index is not beyond the last entry. Consensus never saves one that is, so such a
//!   commit index means that the end of the log is lost, which contiguity cannot show;
//! * the commit index is not before the compaction point, so that raft accepts the pair.
//!
//! Opening reads the whole log once. Its keys must be read to find a hole, and keys lie beside
//! their data, so the checksums come almost for free; 100,000 entries of 1.3 KiB take 0.15 to 0.3
//! s. The bound is the caller's: it is what the log is allowed to retain.
//!
//! In memory are the bounds and where each term begins, so [`Log::term`] reads nothing. Any thread
//! may read; writers exclude one another, and readers wait for no write. A writer takes out of the
//! bounds what it is going to remove before it writes, and puts in what it added afterwards, so
//! what is within the bounds is there.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::engine::{Batch, Direction, Durability, Engine};
use crate::fault::Fault;
use crate::layout::{
    LOG_COMPACTED, LOG_CONF_STATE, LOG_ENTRIES, LOG_HARD_STATE, LOG_IDENTITY, LOG_META,
};

mod entry;
#[cfg(test)]
mod tests;

use entry::Compacted;
pub use entry::{Entry, EntryKind, HardState, entry_checksum};

/// What is durable when a log is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Zero when nothing was ever saved.
    pub hard_state: HardState,
    /// As it was given; empty when nothing was ever saved, that is, for a log to be bootstrapped.
    pub conf_state: Bytes,
    /// The first entry there is, or would be.
    pub first_index: u64,
    /// The last entry; `first_index - 1` when there is none.
    pub last_index: u64,
    /// The term of entry `first_index - 1`; 0 when there never was one.
    pub compacted_term: u64,
}

/// One durable step of the log. Empty parts stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// Contiguous, and joining the log or replacing its end from the first one's index on.
    pub entries: Vec<Entry>,
    /// The hard state to save.
    pub hard_state: Option<HardState>,
    /// The configuration state to save.
    pub conf_state: Option<Bytes>,
    /// Whether it must survive power loss when [`Log::append`] returns.
    pub sync: bool,
}

/// The log. See the module's head.
pub struct Log {
    engine: Arc<dyn Engine>,
    bounds: Mutex<Bounds>,
    /// Held by a writer from reading the bounds to moving them.
    writer: Mutex<()>,
}

/// What is known of the log without reading it.
#[derive(Clone, Debug)]
struct Bounds {
    compacted: Compacted,
    last_index: u64,
    /// First index and term of each run of entries of one term, in order.
    terms: Vec<(u64, u64)>,
    hard_state: HardState,
}

impl Bounds {
    fn term(&self, index: u64) -> Option<u64> {
        if index == self.compacted.index {
            return Some(self.compacted.term);
        }
        if index < self.compacted.index || index > self.last_index {
            return None;
        }
        let after = self.terms.partition_point(|&(first, _)| first <= index);
        Some(
            self.terms[after
                .checked_sub(1)
                .expect("the first run begins at the first entry")]
            .1,
        )
    }

    /// Forgets the entries from `index` on.
    fn truncate(&mut self, index: u64) {
        self.terms
            .truncate(self.terms.partition_point(|&(first, _)| first < index));
        self.last_index = self.last_index.min(index - 1);
    }

    /// Takes an entry at the end.
    fn push(&mut self, index: u64, term: u64) {
        if self.terms.last().is_none_or(|&(_, last)| last != term) {
            self.terms.push((index, term));
        }
        self.last_index = index;
    }

    /// Forgets the runs at or before `through`, keeping the one that reaches beyond it.
    fn compact(&mut self, through: Compacted) {
        let beyond = self
            .terms
            .partition_point(|&(first, _)| first <= through.index + 1);
        self.terms.drain(..beyond.saturating_sub(1));
        if let Some(run) = self.terms.first_mut() {
            run.0 = run.0.max(through.index + 1);
        }
        if through.index >= self.last_index {
            self.terms.clear();
            self.last_index = through.index;
        }
        self.compacted = through;
    }
}

impl Log {
    /// Opens the log in `engine` and checks it. A fresh engine is an empty log.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when one of the invariants at the module's head does not hold.
    pub fn open(engine: Arc<dyn Engine>) -> Result<(Log, LogState), Fault> {
        let [term, vote, commit] = numbers(&*engine, LOG_HARD_STATE)?.unwrap_or_default();
        let hard_state = HardState { term, vote, commit };
        let [index, term] = numbers(&*engine, LOG_COMPACTED)?.unwrap_or_default();
        let compacted = Compacted { index, term };
        let conf_state = record(&*engine, LOG_CONF_STATE)?.unwrap_or_default();
        let terms = Vec::new();
        let mut bounds = Bounds {
            compacted,
            last_index: index,
            terms,
            hard_state,
        };
        check_entries(&*engine, &mut bounds)?;
        if hard_state.commit > bounds.last_index {
            return Err(damaged(format!(
                "entry {} is committed and the log ends at {}",
                hard_state.commit, bounds.last_index
            )));
        }
        if hard_state.commit < compacted.index {
            let detail = "the log is compacted beyond what it knows to be committed";
            return Err(damaged(detail));
        }
        let state = LogState {
            hard_state,
            conf_state,
            first_index: compacted.index + 1,
            last_index: bounds.last_index,
            compacted_term: compacted.term,
        };
        Ok((
            Log {
                engine,
                bounds: Mutex::new(bounds),
                writer: Mutex::new(()),
            },
            state,
        ))
    }

    /// Saves one step.
    ///
    /// # Panics
    /// When entries are not contiguous, leave a gap, or replace compacted ones: consensus never
    /// asks for it.
    ///
    /// # Errors
    /// When the engine fails; what is durable is then unknown and the log must be opened anew.
    pub fn append(&self, append: &Append) -> Result<(), Fault> {
        let _writer = self.writer.lock().expect(UNPOISONED);
        let mut bounds = self.bounds().clone();
        let mut batch = Batch::default();
        if let (Some(first), Some(last)) = (append.entries.first(), append.entries.last()) {
            let range = bounds.compacted.index + 1..=bounds.last_index + 1;
            assert!(
                range.contains(&first.index),
                "entry {} does not join {range:?}",
                first.index
            );
            if last.index < bounds.last_index {
                batch.delete_range(LOG_ENTRIES, key(last.index + 1), key(bounds.last_index + 1));
            }
            bounds.truncate(first.index);
            *self.bounds() = bounds.clone();
        }
        for (index, entry) in (append.entries.first().map_or(0, |e| e.index)..).zip(&append.entries)
        {
            assert_eq!(
                entry.index, index,
                "the entries of an append are contiguous"
            );
            batch.put(LOG_ENTRIES, key(index), entry::encode_entry(entry));
            bounds.push(index, entry.term);
        }
        if let Some(mut hard_state) = append.hard_state {
            // The append may have been made before a compaction that it comes after.
            hard_state.commit = hard_state.commit.max(bounds.compacted.index);
            put_hard_state(&mut batch, hard_state);
            bounds.hard_state = hard_state;
        }
        if let Some(conf_state) = &append.conf_state {
            batch.put(
                LOG_META,
                LOG_CONF_STATE,
                entry::seal(LOG_CONF_STATE, conf_state),
            );
        }
        if !batch.is_empty() {
            let durability = if append.sync {
                Durability::Synced
            } else {
                Durability::Eventual
            };
            self.engine.write(batch, durability)?;
        } else if append.sync {
            self.engine.flush()?;
        }
        *self.bounds() = bounds;
        Ok(())
    }

    /// The entries of `low..high` that are there, in order, as many as fit into `max_bytes` of
    /// data, and one at least if there is one. None when `low` is compacted: callers look at
    /// [`Log::first_index`] to know.
    ///
    /// # Errors
    /// [`Fault::Damaged`] for an entry that does not check.
    pub fn entries(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, Fault> {
        if let Some(entries) = self.read(low, high, max_bytes)? {
            return Ok(entries);
        }
        // An entry is missing, or went away between looking at the bounds and reading. Nothing
        // moves while the writers are held up, so a second look tells.
        let _writer = self.writer.lock().expect(UNPOISONED);
        self.read(low, high, max_bytes)?
            .ok_or_else(|| damaged(format!("an entry of {low}..{high} is missing")))
    }

    /// `None` when an entry within the bounds is not there.
    fn read(&self, low: u64, high: u64, max_bytes: u64) -> Result<Option<Vec<Entry>>, Fault> {
        let mut entries = Vec::new();
        let high = high.min(self.last_index() + 1);
        if low < self.first_index() || low >= high {
            return Ok(Some(entries));
        }
        let mut scan =
            self.engine
                .scan(LOG_ENTRIES, &key(low), Some(&key(high)), Direction::Forward)?;
        let mut bytes = 0;
        for index in low..high {
            let Some((_, value)) = scan.next()?.filter(|(found, _)| *found == key(index)) else {
                return Ok(None);
            };
            let entry = decode(index, value)?;
            bytes += entry.data.len() as u64;
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.to_entry(index));
        }
        Ok(Some(entries))
    }

    /// The term of an entry, also of the last compacted one. `None` when it is not known.
    ///
    /// # Errors
    /// None today; a log that read its terms would have some.
    pub fn term(&self, index: u64) -> Result<Option<u64>, Fault> {
        Ok(self.bounds().term(index))
    }

    /// The first entry there is, or would be.
    pub fn first_index(&self) -> u64 {
        self.bounds().compacted.index + 1
    }

    /// The last entry; `first_index() - 1` when there is none.
    pub fn last_index(&self) -> u64 {
        self.bounds().last_index
    }

    /// Drops the entries up to and including `through`. The state up to there must be durable:
    /// nothing else holds it. Below the first entry it does nothing. Not synced: after a crash the
    /// entries may be back.
    ///
    /// The saved commit index is raised to `through` when it lags behind: what was applied is
    /// committed.
    ///
    /// # Panics
    /// When `through` is beyond the last entry.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn compact(&self, through: u64) -> Result<(), Fault> {
        let _writer = self.writer.lock().expect(UNPOISONED);
        let mut bounds = self.bounds().clone();
        if through <= bounds.compacted.index {
            return Ok(());
        }
        let term = bounds
            .term(through)
            .expect("compaction stays within the log");
        let mut batch = Batch::default();
        batch.delete_range(
            LOG_ENTRIES,
            key(bounds.compacted.index + 1),
            key(through + 1),
        );
        bounds.compact(Compacted {
            index: through,
            term,
        });
        if bounds.hard_state.commit < through {
            bounds.hard_state.commit = through;
            put_hard_state(&mut batch, bounds.hard_state);
        }
        put_compacted(&mut batch, bounds.compacted);
        *self.bounds() = bounds;
        self.engine.write(batch, Durability::Eventual)
    }

    /// Empties the log and lets it begin after `index`: what is up to there came with a snapshot,
    /// whose configuration is `conf_state`. Durable when it returns. The commit index becomes
    /// `index`, and the saved term at least `term`, with no vote in it if it is raised.
    ///
    /// The state goes first: a member that finds its state ahead of its log repeats this call.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn restore(&self, index: u64, term: u64, conf_state: Bytes) -> Result<(), Fault> {
        let _writer = self.writer.lock().expect(UNPOISONED);
        let mut hard_state = self.bounds().hard_state;
        hard_state.commit = index;
        if hard_state.term < term {
            hard_state = HardState {
                term,
                vote: 0,
                commit: index,
            };
        }
        let compacted = Compacted { index, term };
        let mut batch = Batch::default();
        batch.delete_range(LOG_ENTRIES, key(0), key(u64::MAX));
        put_hard_state(&mut batch, hard_state);
        put_compacted(&mut batch, compacted);
        batch.put(
            LOG_META,
            LOG_CONF_STATE,
            entry::seal(LOG_CONF_STATE, &conf_state),
        );
        let terms = Vec::new();
        *self.bounds() = Bounds {
            compacted,
            last_index: index,
            terms,
            hard_state,
        };
        self.engine.write(batch, Durability::Synced)
    }

    /// Cluster and member this log belongs to, if it was ever said.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when the record does not check.
    pub fn identity(&self) -> Result<Option<(u64, u64)>, Fault> {
        let ids = numbers(&*self.engine, LOG_IDENTITY)?;
        Ok(ids.map(|[cluster_id, member_id]| (cluster_id, member_id)))
    }

    /// Says which cluster and member this log belongs to. Durable when it returns.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn set_identity(&self, cluster_id: u64, member_id: u64) -> Result<(), Fault> {
        let record = entry::encode_numbers(&[cluster_id, member_id]);
        let mut batch = Batch::default();
        batch.put(LOG_META, LOG_IDENTITY, entry::seal(LOG_IDENTITY, &record));
        self.engine.write(batch, Durability::Synced)
    }

    fn bounds(&self) -> MutexGuard<'_, Bounds> {
        self.bounds.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "a writer that panics takes the process with it";

fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn put_hard_state(batch: &mut Batch, state: HardState) {
    let record = entry::encode_numbers(&[state.term, state.vote, state.commit]);
    batch.put(
        LOG_META,
        LOG_HARD_STATE,
        entry::seal(LOG_HARD_STATE, &record),
    );
}

fn put_compacted(batch: &mut Batch, compacted: Compacted) {
    let record = entry::encode_numbers(&[compacted.index, compacted.term]);
    batch.put(LOG_META, LOG_COMPACTED, entry::seal(LOG_COMPACTED, &record));
}

fn record(engine: &dyn Engine, name: &[u8]) -> Result<Option<Bytes>, Fault> {
    let Some(value) = engine.get(LOG_META, name)? else {
        return Ok(None);
    };
    let record = entry::unseal(name, &value).ok_or_else(|| bad_record(name))?;
    Ok(Some(value.slice_ref(record)))
}

fn numbers<const N: usize>(engine: &dyn Engine, name: &[u8]) -> Result<Option<[u64; N]>, Fault> {
    let Some(record) = record(engine, name)? else {
        return Ok(None);
    };
    entry::decode_numbers(&record)
        .map(Some)
        .ok_or_else(|| bad_record(name))
}

/// Reads every entry after the compaction point.
fn check_entries(engine: &dyn Engine, bounds: &mut Bounds) -> Result<(), Fault> {
    let mut term = bounds.compacted.term;
    let from = key(bounds.compacted.index + 1);
    let mut scan = engine.scan(LOG_ENTRIES, &from, None, Direction::Forward)?;
    while let Some((found, value)) = scan.next()? {
        let index = bounds.last_index + 1;
        if found != key(index) {
            return Err(damaged(format!("entry {index} is missing")));
        }
        let entry = decode(index, value)?;
        if entry.term < term {
            let detail = format!(
                "entry {index} is of term {}, after one of {term}",
                entry.term
            );
            return Err(damaged(detail));
        }
        term = entry.term;
        bounds.push(index, term);
    }
    Ok(())
}

fn decode(index: u64, value: &[u8]) -> Result<entry::EntryRef<'_>, Fault> {
    entry::decode_entry(index, value)
        .ok_or_else(|| damaged(format!("entry {index} does not match its checksum")))
}

fn bad_record(name: &[u8]) -> Fault {
    damaged(format!(
        "the record {} does not match its checksum",
        name.escape_ascii()
    ))
}

/// The engine's folder is not known here; the caller knows which log it opened.
fn damaged(detail: impl Into<String>) -> Fault {
    Fault::damaged(Path::new("log"), detail)
}
