//! Transactions that write.
//!
//! [`crate::mvcc::txn`] describes the three steps. Steps 2 and 3 of a transaction that writes are
//! here. Step 2 checks that revisions are readable, that leases exist, and that the keys exist of
//! which a put keeps the value or the lease. Step 3 writes. No operation runs before all of them
//! are checked, because there is no undo.

use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::response_op::Response;

use super::{Machine, kv, validate};
use crate::engine::Read;
use crate::mvcc::query::header;
use crate::mvcc::txn::{Path, branch, check_readable, next, path, range_at, response};
use crate::mvcc::write::Writer;
use crate::reader::ReadError;

impl Machine {
    pub(super) fn txn(
        &mut self,
        read: &dyn Read,
        request: &api::TxnRequest,
        is_answered: bool,
    ) -> Result<api::TxnResponse, ReadError> {
        if validate::has_puts(request) {
            self.alarms.check_growth()?;
        } else if !validate::is_read_only(request) {
            self.alarms.check_write()?;
        }
        validate::check_txn(request, usize::MAX)?;
        let view = self.pending.view(read);
        let path = path(&view, self.state.revision, request)?;
        self.check_path(read, request, &path)?;
        self.write(read, |writer| {
            let mut response = run(writer, request, &path, is_answered)?;
            response.header = header(writer.revision());
            Ok(response)
        })
    }

    /// Step 2: checks the operations on the path.
    fn check_path(
        &self,
        read: &dyn Read,
        request: &api::TxnRequest,
        path: &Path,
    ) -> Result<(), ReadError> {
        let mut nested = path.nested.iter();
        for op in branch(request, path) {
            match &op.request {
                Some(Request::RequestRange(range)) => {
                    check_readable(range, self.state.revision, self.state.compacted)?;
                }
                // etcd makes these two checks in this order within a transaction, and in reverse
                // order for a put of its own. The order decides which error the client sees.
                Some(Request::RequestPut(put)) => {
                    self.check_kept_by(read, put)?;
                    self.check_lease_of(read, put)?;
                }
                Some(Request::RequestTxn(txn)) => self.check_path(read, txn, next(&mut nested))?,
                Some(Request::RequestDeleteRange(_)) | None => {}
            }
        }
        Ok(())
    }
}

/// Step 3: runs the operations on the path. Ranges change nothing, so they are read only if the
/// reply is sent to a client.
fn run(
    writer: &mut Writer<'_>,
    request: &api::TxnRequest,
    path: &Path,
    is_answered: bool,
) -> Result<api::TxnResponse, ReadError> {
    let mut nested = path.nested.iter();
    let mut responses = Vec::new();
    for op in branch(request, path) {
        let response = match &op.request {
            Some(Request::RequestRange(_)) if !is_answered => continue,
            Some(Request::RequestRange(range)) => {
                let now = writer.revision();
                Response::ResponseRange(range_at(&writer.view(), range, now)?)
            }
            Some(Request::RequestPut(put)) => Response::ResponsePut(kv::put(writer, put)?),
            Some(Request::RequestDeleteRange(delete)) => {
                Response::ResponseDeleteRange(kv::delete_range(writer, delete)?)
            }
            Some(Request::RequestTxn(txn)) => {
                Response::ResponseTxn(run(writer, txn, next(&mut nested), is_answered)?)
            }
            None => continue,
        };
        responses.push(api::ResponseOp {
            response: Some(response),
        });
    }
    Ok(response(path, responses))
}

#[cfg(test)]
mod tests {
    use conclave_proto::command::command::Body;

    use super::*;
    use crate::ids::MemberId;
    use crate::machine::Reply;
    use crate::machine::script::Stage;

    /// The state must not depend on the member whose replies are complete.
    #[test]
    fn a_range_is_read_for_the_member_that_was_asked() {
        let op = |request| api::RequestOp {
            request: Some(request),
        };
        let put = api::PutRequest {
            key: "a".into(),
            ..api::PutRequest::default()
        };
        let range = api::RangeRequest {
            key: "a".into(),
            ..api::RangeRequest::default()
        };
        let txn = Body::Txn(api::TxnRequest {
            success: vec![
                op(Request::RequestPut(put)),
                op(Request::RequestRange(range)),
            ],
            ..api::TxnRequest::default()
        });
        let mut hashes = Vec::new();
        // Member 1 proposes the commands of the stage.
        for (answered, responses) in [(1, 2), (2, 1)] {
            let mut stage = Stage::new();
            stage.machine.answer_only(MemberId(answered));
            let outcomes = stage.apply(vec![txn.clone()]);
            let Ok(Reply::Txn(response)) = &outcomes[0] else {
                panic!("{outcomes:?}")
            };
            assert_eq!(response.responses.len(), responses);
            stage.commit();
            hashes.push(stage.reader.hash().expect("readable"));
        }
        assert_eq!(hashes[0], hashes[1]);
    }
}
