//! Random requests, made to conflict often: few keys, few leases, revisions near the latest.

use bytes::Bytes;
use conclave_proto::command::command::Body;
use conclave_proto::command::{ExpiredLease, LeaseExpire};
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::compare::TargetUnion;
use conclave_proto::etcdserverpb::request_op::Request;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::layout::LARGE_VALUE_BYTES;

/// Keys that sort close to each other, with the bytes that escaping treats specially.
pub(super) const KEYS: &[&[u8]] = &[
    b"a", b"a\0", b"a\0\0", b"a\0\x01", b"a\x01", b"ab", b"b", b"\0", b"\xff",
];
const ENDS: &[&[u8]] = &[b"", b"", b"\0", b"b", b"a\0\0", b"a\x01", b"\xff", b"a"];

pub(super) fn key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(KEYS).prop_map(Bytes::from_static)
}

pub(super) fn range_end() -> impl Strategy<Value = Bytes> {
    prop::sample::select(ENDS).prop_map(Bytes::from_static)
}

pub(super) fn value() -> impl Strategy<Value = Bytes> {
    const LARGE: &[u8] = &[b'd'; LARGE_VALUE_BYTES];
    prop_oneof![
        12 => "[a-c]{0,3}".prop_map(Bytes::from),
        1 => Just(Bytes::from_static(LARGE)),
        1 => Just(Bytes::from_static(&LARGE[1..])),
    ]
}

pub(super) fn put() -> impl Strategy<Value = api::PutRequest> {
    let flags = (
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    (key(), value(), 0..4i64, flags).prop_map(|(key, value, lease, (prev_kv, keep, stay))| {
        api::PutRequest {
            key,
            value: if keep { Bytes::new() } else { value },
            lease: if stay { 0 } else { (lease - 1).max(0) },
            prev_kv,
            ignore_value: keep,
            ignore_lease: stay,
        }
    })
}

pub(super) fn delete() -> impl Strategy<Value = api::DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| {
        api::DeleteRangeRequest {
            key,
            range_end,
            prev_kv,
        }
    })
}

pub(super) fn range() -> impl Strategy<Value = api::RangeRequest> {
    let of_whole = (0..3i32, 0..5i32, any::<bool>(), prop::bool::weighted(0.1));
    let bound = || prop_oneof![4 => Just(0), 1 => 1..20i64];
    let what = (
        key(),
        range_end(),
        0..4i64,
        prop_oneof![2 => Just(0), 1 => -1..30i64],
    );
    (what, of_whole, (bound(), bound(), bound(), bound())).prop_map(|(what, whole, bounds)| {
        let (key, range_end, limit, revision) = what;
        let (sort_order, sort_target, keys_only, count_only) = whole;
        api::RangeRequest {
            key,
            range_end,
            limit,
            revision,
            sort_order,
            sort_target,
            serializable: false,
            keys_only,
            count_only,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
        }
    })
}

pub(super) fn compare() -> impl Strategy<Value = api::Compare> {
    let union = prop_oneof![
        (0..3i64).prop_map(TargetUnion::Version),
        (0..9i64).prop_map(TargetUnion::CreateRevision),
        (0..9i64).prop_map(TargetUnion::ModRevision),
        value().prop_map(TargetUnion::Value),
        (0..2i64).prop_map(TargetUnion::Lease),
    ];
    (0..4i32, key(), range_end(), union).prop_map(|(result, key, range_end, union)| {
        let target = match union {
            TargetUnion::Version(_) => 0,
            TargetUnion::CreateRevision(_) => 1,
            TargetUnion::ModRevision(_) => 2,
            TargetUnion::Value(_) => 3,
            TargetUnion::Lease(_) => 4,
        };
        api::Compare {
            result,
            target,
            key,
            range_end,
            target_union: Some(union),
        }
    })
}

pub(super) fn txn() -> impl Strategy<Value = api::TxnRequest> {
    let leaf = prop_oneof![
        3 => put().prop_map(Request::RequestPut),
        1 => delete().prop_map(Request::RequestDeleteRange),
        2 => range().prop_map(Request::RequestRange),
    ]
    .boxed();
    let of = |op: BoxedStrategy<Request>| {
        let op = op
            .prop_map(|request| api::RequestOp {
                request: Some(request),
            })
            .boxed();
        (vec(compare(), 0..2), vec(op.clone(), 0..4), vec(op, 0..3)).prop_map(
            |(compare, success, failure)| api::TxnRequest {
                compare,
                success,
                failure,
            },
        )
    };
    let nested = of(leaf.clone()).prop_map(Request::RequestTxn);
    of(prop_oneof![4 => leaf, 1 => nested].boxed())
}

pub(super) fn body() -> impl Strategy<Value = Body> {
    let grant = (1..4i64, 1..9i64)
        .prop_map(|(id, ttl)| Body::LeaseGrant(api::LeaseGrantRequest { id, ttl }));
    let expired = (1..4i64).prop_map(|id| ExpiredLease {
        id,
        granted_index: 0,
    });
    let expire =
        vec(expired, 0..3).prop_map(|leases| Body::LeaseExpire(LeaseExpire { leases, term: 0 }));
    let compaction = (0..30i64).prop_map(|revision| {
        Body::Compaction(api::CompactionRequest {
            revision,
            physical: false,
        })
    });
    prop_oneof![
        8 => put().prop_map(Body::Put),
        3 => delete().prop_map(Body::DeleteRange),
        5 => txn().prop_map(Body::Txn),
        2 => compaction,
        3 => grant,
        1 => (1..4i64).prop_map(|id| Body::LeaseRevoke(api::LeaseRevokeRequest { id })),
        1 => expire,
    ]
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Entry(Vec<Body>),
    Commit,
    Remove(usize),
    Reopen,
    Crash(u64),
    /// With a crash after this many batches.
    Convert(usize),
    Read(api::RangeRequest),
    CheckAll,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(body(), 1..4).prop_map(Step::Entry),
        5 => Just(Step::Commit),
        4 => (1..5usize).prop_map(Step::Remove),
        1 => Just(Step::Reopen),
        1 => any::<u64>().prop_map(Step::Crash),
        1 => (0..8usize).prop_map(Step::Convert),
        5 => range().prop_map(Step::Read),
        1 => Just(Step::CheckAll),
    ]
}
