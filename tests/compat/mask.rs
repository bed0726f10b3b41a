//! Masks the fields of replies that always differ between two servers.

use conclave_proto::etcdserverpb as pb;
use pb::request_op::Request;
use pb::response_op::Response;

use crate::differences::mask_range;

/// Masks cluster, member and term, which are specific to a server; the revision is not.
pub(crate) fn header(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        let revision = header.revision;
        *header = pb::ResponseHeader {
            revision,
            ..Default::default()
        };
    }
}

/// Masks a reply to a transaction, including nested ones.
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

/// Masks the remaining time of a lease, which depends on the instant of the request; only its sign
/// is compared.
pub(crate) fn time_to_live(reply: &mut pb::LeaseTimeToLiveResponse) {
    header(&mut reply.header);
    reply.ttl = reply.ttl.signum();
    reply.keys.sort_unstable();
}
