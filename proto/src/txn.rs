//! `etcdserverpb.TxnRequest`, the one message of the API that nests: written by hand, because its
//! decoder must not depend on the depth at which the message occurs.
//!
//! prost counts the levels of a message and refuses the hundredth. A transaction inside another one
//! is two levels, so a request with 49 of them is decoded when it comes from a client; inside a
//! `Batch` and a `Command`, as a log entry, the same request starts two levels deeper and is
//! refused. Then every member that has the entry stops at it, at every start.
//!
//! Here a transaction is decoded with its own budget: prost's count of levels starts again at each
//! nested transaction, and nested transactions are counted up to [`TXN_LEVELS_MAX`], from the
//! outermost one. So the edge, the log and other members decode the same bytes to the same value.
//!
//! ```text
//! level 1        success: [ put, txn ]
//! level 2                          success: [ txn ]
//! ...
//! level 130                                      an empty transaction: its content is skipped
//! ```
//!
//! Responses nest as deep as requests and need nothing of this: the server only encodes them. (A
//! client on prost, C++ or Java decodes about 49 levels of a response, a client in Go 5,000.)
//!
//! A transaction with more levels is not an error here. The first one that is too deep is decoded
//! as an empty one, and `check_txn` of the state machine refuses a request that contains it. An
//! error would be gRPC's `INTERNAL` where etcd returns "too many operations", and, in a log entry,
//! it would end the member. The limit also bounds the stack, since all code that walks a request
//! recurses.

use bytes::{Buf, BufMut};
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, merge_loop, message, skip_field,
};
use prost::{DecodeError, Message};

use crate::etcdserverpb::request_op::Request;
use crate::etcdserverpb::{Compare, RequestOp};

/// Levels of transactions in one request, including the outermost. etcd has no such limit: it
/// counts operations, and each level has at least one of at most `--max-txn-ops` (128 by default),
/// so the 129th can only be empty and there is never a 130th. With a larger `--max-txn-ops` etcd
/// nests deeper than we do, up to the 10,000 levels of Go's decoder.
///
/// Members must agree on it, since it decides how a log entry is applied: it may only grow, and
/// only once no member has a smaller limit.
pub const TXN_LEVELS_MAX: u32 = 129;

const COMPARE_FIELD: u32 = 1;
const SUCCESS_FIELD: u32 = 2;
const FAILURE_FIELD: u32 = 3;
/// The field of `RequestOp` that holds a nested transaction.
const REQUEST_TXN_FIELD: u32 = 4;

/// Compares, and runs one of two lists of operations, as one change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TxnRequest {
    /// All must hold. An empty list holds.
    pub compare: Vec<Compare>,
    /// Run in order if the comparisons hold.
    pub success: Vec<RequestOp>,
    /// Run in order otherwise.
    pub failure: Vec<RequestOp>,
}

impl TxnRequest {
    /// Merges one field of a transaction at `level`.
    fn merge_at<B: Buf>(
        &mut self,
        (tag, wire_type): (u32, WireType),
        buf: &mut B,
        ctx: DecodeContext,
        level: u32,
    ) -> Result<(), DecodeError> {
        match tag {
            COMPARE_FIELD => message::merge_repeated(wire_type, &mut self.compare, buf, ctx),
            SUCCESS_FIELD => merge_op(&mut self.success, wire_type, buf, ctx, level),
            FAILURE_FIELD => merge_op(&mut self.failure, wire_type, buf, ctx, level),
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }
}

/// Adds one operation of a transaction at `level` to a list.
fn merge_op<B: Buf>(
    ops: &mut Vec<RequestOp>,
    wire_type: WireType,
    buf: &mut B,
    ctx: DecodeContext,
    level: u32,
) -> Result<(), DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire_type)?;
    let mut op = RequestOp::default();
    merge_loop(&mut op, buf, ctx, |op, buf, ctx| {
        let (tag, wire_type) = decode_key(buf)?;
        if tag != REQUEST_TXN_FIELD {
            return op.merge_field(tag, wire_type, buf, ctx);
        }
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        let nested = nested(op);
        if level >= TXN_LEVELS_MAX {
            // It stays empty, and counts as a level.
            return skip_field(wire_type, tag, buf, ctx);
        }
        merge_loop(nested, buf, ctx, |nested, buf, ctx| {
            nested.merge_at(decode_key(buf)?, buf, ctx, level + 1)
        })
    })?;
    ops.push(op);
    Ok(())
}

/// The transaction in an operation. A field that occurs twice is merged, as protobuf requires.
fn nested(op: &mut RequestOp) -> &mut TxnRequest {
    if !matches!(op.request, Some(Request::RequestTxn(_))) {
        op.request = Some(Request::RequestTxn(TxnRequest::default()));
    }
    match &mut op.request {
        Some(Request::RequestTxn(txn)) => txn,
        _ => unreachable!("it was just made one"),
    }
}

impl Message for TxnRequest {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        message::encode_repeated(COMPARE_FIELD, &self.compare, buf);
        message::encode_repeated(SUCCESS_FIELD, &self.success, buf);
        message::encode_repeated(FAILURE_FIELD, &self.failure, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        _ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        // The budget of the enclosing messages does not count.
        self.merge_at((tag, wire_type), buf, DecodeContext::default(), 1)
    }

    fn encoded_len(&self) -> usize {
        message::encoded_len_repeated(COMPARE_FIELD, &self.compare)
            + message::encoded_len_repeated(SUCCESS_FIELD, &self.success)
            + message::encoded_len_repeated(FAILURE_FIELD, &self.failure)
    }

    fn clear(&mut self) {
        self.compare.clear();
        self.success.clear();
        self.failure.clear();
    }
}
