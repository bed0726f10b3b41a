//! Entries as read from the log: malformed ones change nothing, deeply nested ones fit the stack.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::TXN_LEVELS_MAX;
use conclave_proto::command::{Batch, Command, Header, command::Body};
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::request_op::Request;
use prost::Message as _;

use super::{Genesis, Limits, Machine, Outcome, Rejected, validate};
use crate::Fault;
use crate::engine::memory::MemoryEngine;
use crate::ids::{ClusterId, Index, MemberId, Term};
use crate::log::{EntryKind, entry_checksum};
use crate::membership::Change;
use crate::reader::Reader;

fn machine() -> (Machine, Reader) {
    let engine = Arc::new(MemoryEngine::new());
    let (mut machine, reader) = Machine::open(engine, Limits::default()).expect("a fresh store");
    let genesis = Genesis {
        cluster_id: ClusterId(1),
        members: Vec::new(),
    };
    machine.bootstrap(&genesis).expect("in memory");
    (machine, reader)
}

fn payload(body: Body) -> Bytes {
    let batch = Batch {
        version: 1,
        commands: vec![Command {
            header: None,
            body: Some(body),
        }],
    };
    batch.encode_to_vec().into()
}

fn put(key: &'static str) -> api::PutRequest {
    api::PutRequest {
        key: key.into(),
        ..api::PutRequest::default()
    }
}

/// A put nested in this many levels of transactions.
fn nested_put(levels: u32) -> api::TxnRequest {
    let within = |request| api::TxnRequest {
        success: vec![api::RequestOp {
            request: Some(request),
        }],
        ..api::TxnRequest::default()
    };
    let innermost = within(Request::RequestPut(put("k")));
    (1..levels).fold(innermost, |txn, _| within(Request::RequestTxn(txn)))
}

#[test]
fn a_broken_entry_is_named_and_changes_nothing() {
    let (mut machine, reader) = machine();
    let garbage = Bytes::from_static(b"\xff\xff");
    match machine.apply(Index(2), Term(1), &garbage) {
        Err(Fault::Entry {
            index, term, hash, ..
        }) => {
            let expected = entry_checksum(Index(2), Term(1), EntryKind::Normal, &garbage);
            assert_eq!((index, term, hash), (Index(2), Term(1), expected));
        }
        other => panic!("garbage is {other:?}"),
    }
    // Another entry can be applied at its index, as the empty one is when the entry is skipped.
    machine
        .apply(Index(2), Term(1), &Bytes::new())
        .expect("applied");
    machine.commit().expect("in memory");
    assert_eq!(reader.applied().index, Index(2));
}

#[test]
fn what_was_not_committed_can_be_forgotten() {
    let (mut machine, reader) = machine();
    machine
        .apply(Index(2), Term(1), &payload(Body::Put(put("a"))))
        .expect("applied");
    machine.commit().expect("in memory");
    let committed = reader.applied();
    machine
        .apply(Index(3), Term(1), &payload(Body::Put(put("b"))))
        .expect("applied");
    machine.forget_uncommitted().expect("in memory");
    assert_eq!(reader.applied(), committed);
    machine
        .apply(Index(3), Term(1), &payload(Body::Put(put("c"))))
        .expect("applied");
    machine.commit().expect("in memory");
    let applied = reader.applied();
    assert_eq!(applied.index, Index(3));
    assert_eq!(applied.revision.0, committed.revision.0 + 1);
}

#[test]
fn levels_are_bounded_however_many_operations_there_may_be() {
    let check = |levels| validate::check_txn(&nested_put(levels), usize::MAX);
    assert_eq!(check(TXN_LEVELS_MAX), Ok(()));
    for beyond in [1, 2, 100] {
        let checked = check(TXN_LEVELS_MAX + beyond);
        assert_eq!(checked, Err(ApiError::TooManyOps));
    }
}

/// In half of the stack of the applier's thread. A transaction that is too deep is rejected, and is
/// not a fault, because a log may hold one.
#[test]
fn the_deepest_transaction_is_applied_in_little_stack() {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let applied = thread.spawn(|| {
        let (mut machine, _) = machine();
        let mut apply = |index, levels| -> Outcome {
            let payload = payload(Body::Txn(nested_put(levels)));
            let mut done = machine
                .apply(Index(index), Term(1), &payload)
                .expect("no fault");
            done.pop().expect("one command").outcome
        };
        assert!(apply(2, TXN_LEVELS_MAX).is_ok());
        let too_deep = apply(3, TXN_LEVELS_MAX + 50);
        assert_eq!(too_deep.err(), Some(Rejected(ApiError::TooManyOps)));
    });
    applied.expect("a thread").join().expect("enough stack");
}

/// The state machine judges a command by its header: by the proposing member, the user and the auth
/// revision.
#[test]
fn a_header_reaches_the_machine_as_it_was_proposed() {
    let (mut machine, _) = machine();
    let header = Header {
        request_id: 7,
        member_id: 1,
        wall_time_ms: 1_700_000_000_000,
        user: "alice".to_owned(),
        auth_revision: 3,
        by_member: false,
    };
    let batch = Batch {
        version: 1,
        commands: vec![Command {
            header: Some(header.clone()),
            body: Some(Body::Put(put("k"))),
        }],
    };
    let payload = batch.encode_to_vec().into();
    let done = machine.apply(Index(2), Term(1), &payload).expect("sound");
    assert_eq!(done[0].header, header);
    let remove = Change::Remove { id: MemberId(9) };
    let done = machine.apply_member(Index(3), Term(1), header.clone(), remove);
    assert_eq!(done.header, header);
}
