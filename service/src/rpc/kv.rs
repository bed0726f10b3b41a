//! `etcdserverpb.KV`.
//!
//! Writes are proposed. Reads never are: a linearizable one first waits until the local state is as
//! new as the request, a serializable one does not, and then both look at the local state. A
//! transaction that only ranges is a read.
//!
//! A read of one key is done where it stands, since handing it to another thread would cost more
//! than it does; one that may touch many keys ([`length`]) goes to a thread that may block.

use std::sync::Arc;

use conclave_proto::ApiError;
use conclave_proto::command::command::Body;
use conclave_proto::etcdserverpb::kv_server::Kv;
use conclave_proto::etcdserverpb::request_op::Request as Op;
use conclave_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use conclave_storage::Revision;
use conclave_storage::machine::{Reply, validate as rules};
use tonic::{Request, Response, Status};

use super::method::Method;
use super::stream::Counted;
use super::validate::ReadOnly;
use super::{Context, Length, range_stream, reply, status, validate};
use crate::clock::Stopwatch;
use crate::metrics::Timed;

/// See the module.
#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        rules::check_range(&request).map_err(status::of_api)?;
        let begun = Stopwatch::start();
        let answer = self.checked_range(request).await;
        let durations = &self.context.stats.durations;
        durations.request(Timed::Range, answer.is_ok(), begun.elapsed());
        answer
    }

    async fn checked_range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        if !request.serializable {
            if self.context.handle.status().is_learner {
                return Err(status::of_api(ApiError::NotSupportedForLearner));
            }
            self.context.linearize().await?;
        }
        self.context.stats.ranges.inc();
        let length = length(&request);
        let durations = Arc::clone(&self.context.stats.durations);
        let read = self.context.read(length, move |reader| {
            let begun = Stopwatch::start();
            let answer = reader.range(&request);
            durations.range(answer.is_ok(), begun.elapsed());
            answer
        });
        let mut response = read.await?;
        self.context.complete(&mut response.header);
        Ok(response)
    }

    async fn put(&self, request: PutRequest) -> Result<PutResponse, Status> {
        rules::check_put(&request).map_err(status::of_api)?;
        self.context.stats.puts.inc();
        match self.context.propose(Body::Put(request)).await? {
            Reply::Put(response) => Ok(response),
            _ => Err(status::unexpected_reply()),
        }
    }

    async fn delete_range(
        &self,
        request: DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Status> {
        rules::check_delete(&request).map_err(status::of_api)?;
        self.context.stats.deletes.inc();
        match self.context.propose(Body::DeleteRange(request)).await? {
            Reply::DeleteRange(response) => Ok(response),
            _ => Err(status::unexpected_reply()),
        }
    }

    async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        let max_ops = self.context.handle.settings().max_txn_ops;
        rules::check_txn(&request, max_ops).map_err(status::of_api)?;
        self.context.stats.txns.inc();
        match validate::read_only(&request) {
            ReadOnly::No => match self.context.propose(Body::Txn(request)).await? {
                Reply::Txn(response) => Ok(response),
                _ => Err(status::unexpected_reply()),
            },
            read_only @ (ReadOnly::Serializable | ReadOnly::Linearizable) => {
                let begun = Stopwatch::start();
                let answer = self.read_only_txn(request, read_only).await;
                let durations = &self.context.stats.durations;
                durations.request(Timed::ReadOnlyTxn, answer.is_ok(), begun.elapsed());
                answer
            }
        }
    }

    async fn read_only_txn(
        &self,
        request: TxnRequest,
        read_only: ReadOnly,
    ) -> Result<TxnResponse, Status> {
        if read_only == ReadOnly::Linearizable {
            self.context.linearize().await?;
        }
        let length = length_of_txn(&request);
        let mut response = self
            .context
            .read(length, move |reader| reader.txn(&request))
            .await?;
        self.context.complete(&mut response.header);
        Ok(response)
    }

    /// With `physical`, answers when the space of what was compacted has been given back as well.
    async fn compact(&self, request: CompactionRequest) -> Result<CompactionResponse, Status> {
        let response = match self.context.propose(Body::Compaction(request)).await? {
            Reply::Compaction(response) => response,
            _ => return Err(status::unexpected_reply()),
        };
        if request.physical {
            let done = self
                .context
                .handle
                .wait_compaction(Revision(request.revision));
            done.await.map_err(status::of_refused_read)?;
        }
        Ok(response)
    }
}

/// A range is long if it may touch more than one key. A small limit does not make it short: the
/// response counts all keys of the range, so all of them are looked at.
fn length(request: &RangeRequest) -> Length {
    if request.range_end.is_empty() {
        Length::Short
    } else {
        Length::Long
    }
}

fn length_of_txn(request: &TxnRequest) -> Length {
    let long_range = |op: &RequestOp| match &op.request {
        Some(Op::RequestRange(range)) => length(range) == Length::Long,
        Some(Op::RequestTxn(nested)) => length_of_txn(nested) == Length::Long,
        Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) | None => false,
    };
    let long = request
        .compare
        .iter()
        .any(|compare| !compare.range_end.is_empty())
        || request
            .success
            .iter()
            .chain(&request.failure)
            .any(long_range);
    if long { Length::Long } else { Length::Short }
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let call = self.context.admit(Method::Range, request.metadata())?;
        reply(call, self.range(request.into_inner()).await)
    }

    type RangeStreamStream = Counted<range_stream::Pieces>;

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let mut call = self
            .context
            .admit(Method::RangeStream, request.metadata())?;
        let (metadata, _, request) = request.into_parts();
        match range_stream::start(&self.context, request).await {
            Ok(pieces) => Ok(self.context.stream(call, &metadata, pieces)),
            Err(status) => {
                call.end(status.code());
                Err(status)
            }
        }
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let call = self.context.admit(Method::Put, request.metadata())?;
        reply(call, self.put(request.into_inner()).await)
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let call = self
            .context
            .admit(Method::DeleteRange, request.metadata())?;
        reply(call, self.delete_range(request.into_inner()).await)
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let call = self.context.admit(Method::Txn, request.metadata())?;
        reply(call, self.txn(request.into_inner()).await)
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let call = self.context.admit(Method::Compact, request.metadata())?;
        reply(call, self.compact(request.into_inner()).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_touch_many_keys_is_long() {
        let one = RangeRequest {
            key: "a".into(),
            ..RangeRequest::default()
        };
        assert_eq!(length(&one), Length::Short);
        let all = RangeRequest {
            range_end: "b".into(),
            ..one
        };
        assert_eq!(length(&all), Length::Long);
        let page = RangeRequest { limit: 10, ..all };
        assert_eq!(length(&page), Length::Long);
    }
}
