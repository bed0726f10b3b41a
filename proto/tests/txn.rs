//! Nested transactions: the same bytes decode to the same request in any enclosing message, at any
//! depth, and with little stack.

use bytes::Bytes;
use conclave_proto::TXN_LEVELS_MAX;
use conclave_proto::command::{Batch, Command, Header, command::Body};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};
use prost::Message;

/// An encoded put inside this many levels of transactions. Built from the inside out in one pass,
/// since the deepest ones would overflow any stack.
fn bytes_of(levels: u32) -> Bytes {
    let put = [0x0a, 0x01, b'k'];
    let mut reversed: Vec<u8> = put.into_iter().rev().collect();
    let mut wrap = |tag: u8| {
        let mut head = vec![tag];
        prost::encoding::encode_varint(reversed.len() as u64, &mut head);
        reversed.extend(head.into_iter().rev());
    };
    // success: [ { request_put } ]
    wrap(0x12);
    wrap(0x12);
    for _ in 1..levels {
        // success: [ { request_txn } ]
        wrap(0x22);
        wrap(0x12);
    }
    reversed.into_iter().rev().collect()
}

/// The number of levels of a request that has one operation on each.
fn levels(request: &TxnRequest) -> u32 {
    let mut levels = 1;
    let mut txn = request;
    while let [
        RequestOp {
            request: Some(Request::RequestTxn(nested)),
        },
    ] = &txn.success[..]
    {
        levels += 1;
        txn = nested;
    }
    levels
}

fn command(request: TxnRequest) -> Command {
    Command {
        header: Some(Header::default()),
        body: Some(Body::Txn(request)),
    }
}

/// prost's count of levels around a request must not matter.
#[test]
fn every_depth_decodes_alone_and_in_a_log_entry() {
    for depth in 1..=TXN_LEVELS_MAX {
        let bytes = bytes_of(depth);
        let alone = TxnRequest::decode(bytes.clone()).unwrap();
        assert_eq!(levels(&alone), depth);
        assert_eq!(alone.encode_to_vec(), bytes, "{depth} levels");
        assert_eq!(alone.encoded_len(), bytes.len());
        let batch = Batch {
            version: 1,
            commands: vec![command(alone)],
        };
        let decoded = Batch::decode(Bytes::from(batch.encode_to_vec())).unwrap();
        assert_eq!(decoded, batch, "{depth} levels");
    }
}

/// Too many levels are not an error: one level more than allowed is decoded, and it is empty.
#[test]
fn what_is_too_deep_is_cut_off_one_level_below() {
    for depth in [1, 2, 70, 2_000, 100_000] {
        let depth = TXN_LEVELS_MAX + depth;
        let cut = TxnRequest::decode(bytes_of(depth)).unwrap();
        assert_eq!(levels(&cut), TXN_LEVELS_MAX + 1, "{depth} levels");
    }
}

/// The deepest request, decoded with a quarter of a thread's usual stack.
#[test]
fn the_deepest_request_needs_little_stack() {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    let walked = thread.spawn(|| {
        let bytes = bytes_of(TXN_LEVELS_MAX + 1);
        let request = TxnRequest::decode(bytes).unwrap();
        let batch = Batch {
            version: 1,
            commands: vec![command(request.clone())],
        };
        let decoded = Batch::decode(Bytes::from(batch.encode_to_vec())).unwrap();
        assert!(decoded == batch);
        assert!(format!("{request:?}").len() > 1_000);
    });
    walked.unwrap().join().unwrap();
}

/// Other properties of generated code.
#[test]
fn fields_are_merged_and_unknown_ones_skipped() {
    let put = |key: &'static str| RequestOp {
        request: Some(Request::RequestPut(PutRequest {
            key: key.into(),
            ..PutRequest::default()
        })),
    };
    let txn = |ops: Vec<RequestOp>| TxnRequest {
        success: ops,
        ..TxnRequest::default()
    };
    let nested = |request: TxnRequest| RequestOp {
        request: Some(Request::RequestTxn(request)),
    };
    // One operation whose field `request_txn` occurs twice, and one with two fields of the oneof,
    // of which the last counts.
    let mut twice = nested(txn(vec![put("a")])).encode_to_vec();
    twice.extend(nested(txn(vec![put("b")])).encode_to_vec());
    let mut other_arm = nested(txn(vec![put("a")])).encode_to_vec();
    other_arm.extend(put("c").encode_to_vec());
    let mut bytes = Vec::new();
    for op in [twice, other_arm] {
        bytes.push(0x12);
        prost::encoding::encode_varint(op.len() as u64, &mut bytes);
        bytes.extend(op);
    }
    // Field 9 of a later release.
    bytes.extend([0x4a, 0x01, 0x00]);
    let decoded = TxnRequest::decode(Bytes::from(bytes)).unwrap();
    let merged = nested(txn(vec![put("a"), put("b")]));
    assert_eq!(decoded, txn(vec![merged, put("c")]));
}

#[test]
fn garbage_is_an_error_at_every_depth() {
    for depth in [1, 60, TXN_LEVELS_MAX] {
        let whole = bytes_of(depth);
        for cut in [1, 2, whole.len() / 2] {
            assert!(TxnRequest::decode(whole.slice(..whole.len() - cut)).is_err());
        }
        let mut wrong_type = whole.to_vec();
        let last = wrong_type.len() - 3;
        // The key of the put as a number.
        wrong_type[last] = 0x08;
        assert!(TxnRequest::decode(Bytes::from(wrong_type)).is_err());
    }
}
