//! Replies without what two servers can never have in common.

use conclave_proto::etcdserverpb as pb;
use pb::request_op::Request;
use pb::response_op::Response;

use crate::differences::mask_range;

/// Cluster, member and term are each server's own; the revision is not.
pub(crate) fn header(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        let revision = header.revision;
        *header = pb::ResponseHeader {
            revision,
            ..Default::default()
        };
    }
}

/// A reply to a transaction, down through nested ones.
pub(crate) fn txn(request: &pb::TxnRequest, reply: &mut pb::TxnResponse) {
    header(&mut reply.header);
    let branch = if reply.succeeded {
        &request.success
    } else {
        &request.failure
    };
    for (operation, response) in branch.iter().zip(&mut reply.responses) {
        match (&operation.request, &mut response.response) {
            (Some(Request::RequestRange(request)), Some(Response::ResponseRange(reply))) => {
                mask_range(request, reply);
            }
            (Some(Request::RequestTxn(request)), Some(Response::ResponseTxn(reply))) => {
                txn(request, reply);
            }
            _ => {}
        }
    }
}

/// A lease's answer: how much is left depends on when it was asked, so only whether it lives.
pub(crate) fn time_to_live(reply: &mut pb::LeaseTimeToLiveResponse) {
    header(&mut reply.header);
    reply.ttl = reply.ttl.signum();
    reply.keys.sort_unstable();
}
