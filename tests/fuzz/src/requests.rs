//! API requests built from an input: mostly sensible, on few keys and leases, so that they
//! conflict; with options in every combination and numbers at the limits.

use bytes::Bytes;
use conclave_proto::command::{self, command::Body};
use conclave_proto::etcdserverpb as pb;
use pb::compare::TargetUnion;
use pb::request_op::Request;

use crate::source::Source;

/// Limit of transaction nesting. The decoder's own limit is higher, and covered by seeds of raw
/// bytes.
const TXN_LEVELS: u8 = 6;

/// Keys and range ends, most of which are prefixes of others.
const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"ab",
    b"a\0",
    b"b/c",
    b"\0",
    b"\xff",
    b"\xff\xff",
    b"",
];

/// Lease ids in use; 0 means none, or any.
const LEASES: &[i64] = &[0, 1, 2, 3, 7];

/// Seconds, inside and outside the limits.
const TTLS: &[i64] = &[60, 600, 1, 0, -1, 9_000_000_000, 9_000_000_001, i64::MAX];

/// Values near which a request's numbers are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    /// The store's revision.
    pub revision: i64,
    /// A member.
    pub member_id: u64,
}

/// A key: one of a few, or any bytes.
pub fn key(source: &mut Source) -> Bytes {
    match source.byte() {
        255 => source.piece(),
        choice => Bytes::from_static(KEYS[usize::from(choice) % KEYS.len()]),
    }
}

fn value(source: &mut Source) -> Bytes {
    match source.byte() {
        255 => source.piece(),
        choice => Bytes::from(vec![b'v'; usize::from(choice % 9)]),
    }
}

fn lease(source: &mut Source) -> i64 {
    match source.byte() {
        255 => source.near_signed(0),
        choice => LEASES[usize::from(choice) % LEASES.len()],
    }
}

/// A put.
pub fn put(source: &mut Source) -> pb::PutRequest {
    let options = source.byte();
    pb::PutRequest {
        key: key(source),
        value: value(source),
        lease: if options & 1 == 1 { lease(source) } else { 0 },
        prev_kv: options & 2 != 0,
        ignore_value: options & 12 == 12,
        ignore_lease: options & 48 == 48,
    }
}

/// A range with any of its options.
pub fn range(source: &mut Source, near: Near) -> pb::RangeRequest {
    let options = source.byte();
    let mut request = pb::RangeRequest {
        key: key(source),
        range_end: key(source),
        serializable: options & 1 != 0,
        keys_only: options & 2 != 0,
        count_only: options & 4 != 0,
        ..pb::RangeRequest::default()
    };
    if options & 8 != 0 {
        request.limit = source.near_signed(4);
        request.revision = source.near_signed(near.revision);
    }
    if options & 16 != 0 {
        request.sort_order = i32::from(source.below(4));
        request.sort_target = i32::from(source.below(6));
    }
    if options & 32 != 0 {
        request.min_mod_revision = source.near_signed(near.revision);
        request.max_mod_revision = source.near_signed(near.revision);
        request.min_create_revision = source.near_signed(near.revision);
        request.max_create_revision = source.near_signed(near.revision);
    }
    request
}

/// A delete.
pub fn delete(source: &mut Source) -> pb::DeleteRangeRequest {
    let options = source.byte();
    pb::DeleteRangeRequest {
        key: key(source),
        range_end: if options & 1 == 1 {
            key(source)
        } else {
            Bytes::new()
        },
        prev_kv: options & 2 != 0,
    }
}

/// A transaction, possibly with nested ones.
pub fn txn(source: &mut Source, near: Near) -> pb::TxnRequest {
    nested(source, near, TXN_LEVELS)
}

fn nested(source: &mut Source, near: Near, levels: u8) -> pb::TxnRequest {
    let counts = source.byte();
    let compares = counts & 3;
    let compare = (0..compares).map(|_| compare(source, near)).collect();
    let mut ops = |count: u8| -> Vec<pb::RequestOp> {
        (0..count).map(|_| op(source, near, levels)).collect()
    };
    pb::TxnRequest {
        compare,
        success: ops(counts >> 2 & 3),
        failure: ops(counts >> 4 & 3),
    }
}

fn op(source: &mut Source, near: Near, levels: u8) -> pb::RequestOp {
    let request = match source.byte() {
        0..=79 => Some(Request::RequestPut(put(source))),
        80..=139 => Some(Request::RequestRange(range(source, near))),
        140..=189 => Some(Request::RequestDeleteRange(delete(source))),
        190..=252 if levels > 0 => Some(Request::RequestTxn(nested(source, near, levels - 1))),
        _ => None,
    };
    pb::RequestOp { request }
}

fn compare(source: &mut Source, near: Near) -> pb::Compare {
    let target_union = match source.byte() {
        0..=49 => Some(TargetUnion::Version(source.near_signed(1))),
        50..=99 => Some(TargetUnion::CreateRevision(
            source.near_signed(near.revision),
        )),
        100..=149 => Some(TargetUnion::ModRevision(source.near_signed(near.revision))),
        150..=199 => Some(TargetUnion::Value(value(source))),
        200..=249 => Some(TargetUnion::Lease(lease(source))),
        _ => None,
    };
    pb::Compare {
        result: i32::from(source.below(5)),
        // Mostly the target that matches the union, whose tags start at 4.
        target: i32::from(source.below(6)),
        key: key(source),
        range_end: if source.rarely() {
            key(source)
        } else {
            Bytes::new()
        },
        target_union,
    }
}

/// A grant.
pub fn grant(source: &mut Source) -> pb::LeaseGrantRequest {
    pb::LeaseGrantRequest {
        ttl: source.pick(TTLS),
        id: lease(source),
    }
}

/// The id of a lease, for requests that have no other field.
pub fn lease_id(source: &mut Source) -> i64 {
    lease(source)
}

/// A compaction.
pub fn compaction(source: &mut Source, near: Near) -> pb::CompactionRequest {
    pb::CompactionRequest {
        revision: source.near_signed(near.revision),
        physical: source.flag(),
    }
}

/// An alarm, raised or disarmed.
pub fn alarm(source: &mut Source, near: Near) -> pb::AlarmRequest {
    pb::AlarmRequest {
        action: i32::from(source.below(4)),
        member_id: source.near(near.member_id),
        alarm: i32::from(source.below(4)),
    }
}

/// A message of a watch stream.
pub fn watch(source: &mut Source, near: Near) -> pb::WatchRequest {
    use pb::watch_request::RequestUnion;
    let request_union = match source.byte() {
        0..=179 => Some(RequestUnion::CreateRequest(pb::WatchCreateRequest {
            key: key(source),
            range_end: key(source),
            start_revision: source.near_signed(near.revision),
            progress_notify: source.flag(),
            filters: vec![i32::from(source.below(3))],
            prev_kv: source.flag(),
            watch_id: source.near_signed(0),
            fragment: source.flag(),
        })),
        180..=219 => Some(RequestUnion::CancelRequest(pb::WatchCancelRequest {
            watch_id: source.near_signed(0),
        })),
        220..=249 => Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})),
        _ => None,
    };
    pb::WatchRequest { request_union }
}

/// The body of a command, as in a log entry.
pub fn body(source: &mut Source, near: Near) -> Body {
    match source.byte() {
        0..=79 => Body::Put(put(source)),
        80..=109 => Body::DeleteRange(delete(source)),
        110..=159 => Body::Txn(txn(source, near)),
        160..=179 => Body::Compaction(compaction(source, near)),
        180..=199 => Body::LeaseGrant(grant(source)),
        200..=209 => Body::LeaseRevoke(pb::LeaseRevokeRequest { id: lease(source) }),
        210..=219 => Body::LeaseExpire(command::LeaseExpire {
            leases: vec![command::ExpiredLease {
                id: lease(source),
                granted_index: source.near(0),
            }],
            term: u64::from(source.below(3)),
        }),
        220..=229 => Body::LeaseCheckpoint(command::LeaseCheckpoint {
            checkpoints: vec![command::Checkpoint {
                id: lease(source),
                remaining_seconds: source.near_signed(30),
            }],
            term: u64::from(source.below(3)),
            as_of_index: source.near(9),
        }),
        230..=239 => Body::Alarm(alarm(source, near)),
        240.. => Body::MemberAttributes(command::MemberAttributes {
            member_id: source.near(near.member_id),
            name: "m".to_owned(),
            client_urls: vec!["http://127.0.0.1:1".to_owned()],
        }),
    }
}

/// A command.
pub fn command(source: &mut Source, near: Near) -> command::Command {
    let header = (!source.rarely()).then(|| command::Header {
        request_id: source.number(),
        member_id: source.near(near.member_id),
        wall_time_ms: source.near_signed(1_700_000_000_000),
        ..command::Header::default()
    });
    let body = (!source.rarely()).then(|| body(source, near));
    command::Command { header, body }
}
