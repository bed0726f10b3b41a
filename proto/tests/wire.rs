//! Golden bytes: the encoding of messages where a mistake is likely, and the types' shape that the
//! other crates rely on.

use std::fmt::Debug;

use bytes::Bytes;
use conclave_proto::etcdserverpb::{self as pb, compare, request_op, watch_request};
use conclave_proto::{command, mvccpb, peer, v3electionpb};
use prost::Message;

/// Expects the message to encode to exactly these bytes, and the bytes to decode to the message.
#[track_caller]
fn golden<M: Message + Default + PartialEq + Debug>(message: M, hex: &str) {
    let encoded = message.encode_to_vec();
    let got: Vec<String> = encoded.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(got.join(" "), hex);
    assert_eq!(M::decode(Bytes::from(encoded)), Ok(message));
}

#[test]
fn compare_range_end_is_field_64() {
    let compare = pb::Compare {
        result: compare::CompareResult::NotEqual as i32,
        target: compare::CompareTarget::Lease as i32,
        key: "k".into(),
        range_end: "l".into(),
        target_union: Some(compare::TargetUnion::Lease(7)),
    };
    golden(compare, "08 03 10 04 1a 01 6b 40 07 82 04 01 6c");
}

/// An operand of 0 in a oneof is sent, unlike a plain field of 0: "the key does not exist" is the
/// most common comparison.
#[test]
fn compare_sends_an_operand_of_zero() {
    let compare = pb::Compare {
        target: compare::CompareTarget::Create as i32,
        key: "k".into(),
        target_union: Some(compare::TargetUnion::CreateRevision(0)),
        ..Default::default()
    };
    golden(compare, "10 01 1a 01 6b 28 00");
}

#[test]
fn watch_response_events_are_field_11_and_fragment_7() {
    let kv = mvccpb::KeyValue {
        key: "k".into(),
        mod_revision: 5,
        ..Default::default()
    };
    let event = mvccpb::Event {
        r#type: mvccpb::event::EventType::Delete as i32,
        kv: Some(kv),
        prev_kv: None,
    };
    let response = pb::WatchResponse {
        fragment: true,
        events: vec![event],
        ..Default::default()
    };
    golden(response, "38 01 5a 09 08 01 12 05 0a 01 6b 18 05");
}

/// Ten bytes of varint: negative numbers are not zig-zagged.
#[test]
fn watch_id_minus_one() {
    let response = pb::WatchResponse {
        watch_id: -1,
        ..Default::default()
    };
    golden(response, "10 ff ff ff ff ff ff ff ff ff 01");
}

#[test]
fn watch_requests() {
    let create = pb::WatchCreateRequest {
        key: "k".into(),
        filters: vec![pb::watch_create_request::FilterType::Nodelete as i32],
        watch_id: 2,
        fragment: true,
        ..Default::default()
    };
    let create = watch_request::RequestUnion::CreateRequest(create);
    let wrap = |union| pb::WatchRequest {
        request_union: Some(union),
    };
    golden(wrap(create), "0a 0a 0a 01 6b 2a 01 01 38 02 40 01");
    let progress = watch_request::RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
    golden(wrap(progress), "1a 00");
}

#[test]
fn lease_grant_swaps_ttl_and_id_in_the_answer() {
    golden(pb::LeaseGrantRequest { ttl: 60, id: 7 }, "08 3c 10 07");
    let response = pb::LeaseGrantResponse {
        id: 7,
        ttl: 60,
        ..Default::default()
    };
    golden(response, "10 07 18 3c");
    let left = pb::LeaseTimeToLiveResponse {
        id: 7,
        granted_ttl: 60,
        keys: vec!["a".into(), "b".into()],
        ..Default::default()
    };
    golden(left, "10 07 20 3c 2a 01 61 2a 01 62");
}

#[test]
fn member_urls_are_respelled_in_rust_only() {
    let member = pb::Member {
        id: 1,
        name: "a".into(),
        peer_urls: vec!["p".into()],
        client_urls: vec!["c".into()],
        is_learner: true,
    };
    golden(member, "08 01 12 01 61 1a 01 70 22 01 63 28 01");
}

#[test]
fn hash_is_a_plain_varint_and_header_ids_are_unsigned() {
    let header = pb::ResponseHeader {
        cluster_id: u64::MAX,
        ..Default::default()
    };
    let response = pb::HashKvResponse {
        header: Some(header),
        hash: u32::MAX,
        compact_revision: -1,
        hash_revision: 2,
    };
    let max = "ff ff ff ff ff ff ff ff ff 01";
    golden(
        response,
        &format!("0a 0b 08 {max} 10 ff ff ff ff 0f 18 {max} 20 02"),
    );
}

#[test]
fn nested_txn() {
    let op = |request| pb::RequestOp {
        request: Some(request),
    };
    let put = pb::PutRequest {
        key: "k".into(),
        value: "v".into(),
        ..Default::default()
    };
    let inner = pb::TxnRequest {
        failure: vec![op(request_op::Request::RequestPut(put))],
        ..Default::default()
    };
    let outer = pb::TxnRequest {
        success: vec![op(request_op::Request::RequestTxn(inner))],
        ..Default::default()
    };
    golden(outer, "12 0c 22 0a 1a 08 12 06 0a 01 6b 12 01 76");
}

#[test]
fn other_packages() {
    let leader = v3electionpb::LeaderKey {
        name: "n".into(),
        key: "k".into(),
        rev: 3,
        lease: 4,
    };
    let request = v3electionpb::ProclaimRequest {
        leader: Some(leader),
        value: "v".into(),
    };
    golden(request, "0a 0a 0a 01 6e 12 01 6b 18 03 20 04 12 01 76");
}

/// Stored on disk: these bytes must decode to the same message in all later releases.
#[test]
fn log_entry() {
    let header = command::Header {
        request_id: 1,
        member_id: 2,
        wall_time_ms: 3,
        user: "u".into(),
        auth_revision: 4,
        by_member: false,
    };
    let put = pb::PutRequest {
        key: "k".into(),
        ..Default::default()
    };
    let put = command::Command {
        header: Some(header),
        body: Some(command::command::Body::Put(put)),
    };
    let expire = command::LeaseExpire {
        leases: vec![
            command::ExpiredLease {
                id: 1,
                granted_index: 0,
            },
            command::ExpiredLease {
                id: 300,
                granted_index: 7,
            },
        ],
        term: 0,
    };
    let expire = command::Command {
        header: None,
        body: Some(command::command::Body::LeaseExpire(expire)),
    };
    golden(
        command::Batch {
            version: 1,
            commands: vec![put, expire],
        },
        "08 01 12 12 0a 0b 08 01 10 02 18 03 22 01 75 28 04 12 03 0a 01 6b \
         12 0d 42 0b 0a 02 08 01 0a 05 08 ac 02 10 07",
    );
}

/// Stored on disk, as above.
#[test]
fn log_entry_of_a_login() {
    let login = command::Authenticate {
        name: "n".into(),
        token_digest: "d".into(),
        auth_revision: 5,
    };
    let header = command::Header {
        by_member: true,
        ..Default::default()
    };
    let login = command::Command {
        header: Some(header),
        body: Some(command::command::Body::Authenticate(login)),
    };
    golden(login, "0a 02 30 01 72 08 0a 01 6e 12 01 64 18 05");
}

#[test]
fn lease_checkpoint() {
    let checkpoint = command::LeaseCheckpoint {
        checkpoints: vec![command::Checkpoint {
            id: 7,
            remaining_seconds: 300,
        }],
        term: 2,
        as_of_index: 9,
    };
    let command = command::Command {
        header: None,
        body: Some(command::command::Body::LeaseCheckpoint(checkpoint)),
    };
    golden(command, "5a 0b 0a 05 08 07 10 ac 02 10 02 18 09");
    let record = command::LeaseRecord {
        id: 7,
        ttl_seconds: 600,
        remaining_seconds: 300,
        granted_index: 2,
    };
    golden(record, "08 07 10 d8 04 18 ac 02 20 02");
}

#[test]
fn peer_frame() {
    let content = Some(peer::parcel::Content::Raft("m".into()));
    let frame = peer::Frame {
        hello: None,
        parcels: vec![peer::Parcel { content }],
    };
    golden(frame, "12 03 0a 01 6d");
}

/// Decoding takes slices of the message instead of copies: a put's value is not copied between the
/// socket and the log.
#[test]
fn decoding_shares_the_buffer() {
    let put = pb::PutRequest {
        key: "k".into(),
        value: vec![7; 4096].into(),
        ..Default::default()
    };
    let encoded = Bytes::from(put.encode_to_vec());
    let range = encoded.as_ptr_range();
    let decoded = pb::PutRequest::decode(encoded).expect("a put");
    assert!(range.contains(&decoded.value.as_ptr()));
}

#[cfg(feature = "grpc")]
#[test]
fn services_have_etcds_paths() {
    use conclave_proto::{etcdserverpb::*, peer, v3electionpb, v3lockpb};
    let names = [
        kv_server::SERVICE_NAME,
        watch_server::SERVICE_NAME,
        lease_server::SERVICE_NAME,
        cluster_server::SERVICE_NAME,
        maintenance_server::SERVICE_NAME,
        auth_server::SERVICE_NAME,
        v3lockpb::lock_server::SERVICE_NAME,
        v3electionpb::election_server::SERVICE_NAME,
        peer::peer_server::SERVICE_NAME,
    ];
    assert_eq!(
        names,
        [
            "etcdserverpb.KV",
            "etcdserverpb.Watch",
            "etcdserverpb.Lease",
            "etcdserverpb.Cluster",
            "etcdserverpb.Maintenance",
            "etcdserverpb.Auth",
            "v3lockpb.Lock",
            "v3electionpb.Election",
            "conclave.peer.Peer",
        ]
    );
}
