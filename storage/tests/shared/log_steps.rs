//! A sequence of writes to a log, and a listing of its entries. This file is part of the unit tests
//! of conclave-storage, on the engine in memory, and of conclave-rocks.

use bytes::Bytes;
use conclave_storage::log::{Append, Entry, EntryKind, HardState, Log};
use conclave_storage::{Fault, Index, MemberId, Term};

pub(crate) fn entry(index: u64, term: u64) -> Entry {
    let kind = match index % 3 {
        0 => EntryKind::Normal,
        1 => EntryKind::ConfChange,
        _ => EntryKind::ConfChangeV2,
    };
    Entry {
        index: Index(index),
        term: Term(term),
        kind,
        data: Bytes::from(format!("data of {index} in {term}")),
    }
}

pub(crate) fn append(first: u64, count: u64, term: u64) -> Append {
    let entries = (first..first + count)
        .map(|index| entry(index, term))
        .collect();
    Append {
        entries,
        sync: true,
        ..Append::default()
    }
}

pub(crate) fn commit(commit: u64) -> Append {
    let hard_state = Some(HardState {
        term: Term(3),
        vote: MemberId(2),
        commit: Index(commit),
    });
    Append {
        hard_state,
        sync: true,
        ..Append::default()
    }
}

/// Index and term of every entry, read through the log and checked against `term`.
pub(crate) fn listing(log: &Log) -> Vec<(u64, u64)> {
    let entries = log
        .entries(log.first_index(), Index(u64::MAX), u64::MAX)
        .unwrap();
    for found in &entries {
        assert_eq!(*found, entry(found.index.0, found.term.0));
        assert_eq!(log.term(found.index).unwrap(), Some(found.term));
    }
    entries
        .iter()
        .map(|found| (found.index.0, found.term.0))
        .collect()
}

pub(crate) fn configured(conf_state: &'static str) -> Append {
    Append {
        conf_state: Some(conf_state.into()),
        sync: true,
        ..Append::default()
    }
}

pub(crate) type Step = Box<dyn Fn(&Log) -> Result<(), Fault>>;

/// A sequence of writes of every kind, each of one batch.
pub(crate) fn steps() -> Vec<Step> {
    vec![
        Box::new(|log| log.append(&configured("conf"))),
        Box::new(|log| log.append(&append(1, 3, 1))),
        Box::new(|log| {
            log.append(&Append {
                sync: false,
                ..commit(2)
            })
        }),
        Box::new(|log| log.append(&append(4, 4, 2))),
        Box::new(|log| log.append(&append(6, 1, 3))),
        Box::new(|log| log.compact(Index(2))),
        Box::new(|log| {
            log.append(&Append {
                sync: false,
                ..commit(5)
            })
        }),
        Box::new(|log| log.append(&append(7, 2, 3))),
        Box::new(|log| log.compact(Index(5))),
        Box::new(|log| log.restore(Index(20), Term(4), Bytes::from_static(b"other"))),
        Box::new(|log| log.append(&append(21, 2, 4))),
    ]
}
