//! `etcdserverpb.KV`.
//!
//! Writes are proposed. Reads never are: a linearizable one first waits until the local state is as
//! new as the request, a serializable one does not, and then both look at the local state. A
//! transaction that only ranges is a read.
//!
//! A read of one key runs in the call's own task, since passing it to another thread would cost
//! more than the read. A read that may touch many keys ([`extent`]) runs on a thread that may
//! block, and its reply, if it is large, is sent in pieces ([`super::large`]).

use std::sync::Arc;

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::kv_server::Kv;
use conclave_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, TxnRequest, TxnResponse,
};
use conclave_storage::Revision;
use conclave_storage::machine::validate as rules;
use conclave_storage::reader::rows::{self, EncodedRange};
use conclave_storage::reader::{ReadError, Reader};
use tokio_stream::Empty;
use tonic::{Request, Response, Status};

use super::large::{self, Reply};
use super::validate::ReadOnly;
use super::{Access, Context, Length, extent, range_stream, reply, status, validate};
use crate::method::Method;
use crate::metrics::Durations;
use conclave_core::clock::Stopwatch;
use conclave_core::long_reads::BuildTurn;
use conclave_core::observe::RequestKind;

#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }
}

async fn range(access: &Access, request: RangeRequest) -> Result<Reply<RangeResponse>, Status> {
    rules::check_range(&request).map_err(status::of_api)?;
    access.span().set("key.bytes", request.key.len());
    let begun = Stopwatch::start();
    let answer = checked_range(access, request).await;
    let durations = &access.stats().durations;
    durations.request(RequestKind::Range, answer.is_ok(), begun.elapsed());
    answer
}

async fn checked_range(
    access: &Access,
    request: RangeRequest,
) -> Result<Reply<RangeResponse>, Status> {
    if !request.serializable {
        if access.status().is_learner {
            return Err(status::of_api(ApiError::NotSupportedForLearner));
        }
        access.linearize().await.map_err(status::of_refused)?;
    }
    access.stats().ranges.inc();
    let _reading = access.span().child("read");
    let durations = &access.stats().durations;
    if extent::length(&request) == Length::Short {
        let found = access.look(|reader| find(reader, &request, durations));
        let found = found.map_err(status::of_read)?;
        return reply_to_range(access, found, request.into()).await;
    }
    let brief = access.brief(|reader| find(reader, &request, durations));
    let request = Arc::new(request);
    if let Some(found) = brief.map_err(status::of_read)? {
        return reply_to_range(access, found, request).await;
    }
    let (of_read, wanted) = (access.clone(), Arc::clone(&request));
    let quick = access.quick(move |reader| find(reader, &wanted, &of_read.stats().durations));
    if let Some(found) = quick.await.map_err(status::of_unread)? {
        return reply_to_range(access, found, request).await;
    }
    if rows::is_encodable(&request) {
        return access.send_pages(request).await;
    }
    if request.count_only {
        let counted = access.long(answer(access, request)).await;
        return counted.map(Reply::Small).map_err(status::of_unread);
    }
    // Sorted: the order of the reply is not that of the keys.
    access.build_slowly(answer(access, request)).await
}

/// Result of a range, without a complete header.
enum Found {
    Encoded(EncodedRange),
    Message(RangeResponse),
}

/// Reads a range. One in key order is encoded as it is read.
fn find(
    reader: &Reader,
    request: &RangeRequest,
    durations: &Durations,
) -> Result<Found, ReadError> {
    timed(durations, || match rows::is_encodable(request) {
        true => reader.encode_range(request).map(Found::Encoded),
        false => reader.range(request).map(Found::Message),
    })
}

async fn reply_to_range(
    access: &Access,
    found: Found,
    request: Arc<RangeRequest>,
) -> Result<Reply<RangeResponse>, Status> {
    match found {
        Found::Encoded(range) => match access.send_encoded(range)? {
            Some(reply) => Ok(reply),
            None => access.send_pages(request).await,
        },
        Found::Message(mut response) => {
            access.complete(&mut response.header);
            access
                .send_or_build(response, answer(access, request))
                .await
        }
    }
}

/// Returns a function that reads a range and completes the response.
fn answer(
    access: &Access,
    request: Arc<RangeRequest>,
) -> impl Fn(&Reader) -> Result<RangeResponse, ReadError> + use<> {
    let access = access.clone();
    move |reader| {
        let durations = &access.stats().durations;
        let mut response = timed(durations, || reader.range(&request))?;
        access.complete(&mut response.header);
        Ok(response)
    }
}

async fn put(access: &Access, request: PutRequest) -> Result<PutResponse, Status> {
    rules::check_put(&request).map_err(status::of_api)?;
    access.stats().puts.inc();
    access.span().set("key.bytes", request.key.len());
    access.propose(request).await
}

async fn delete_range(
    access: &Access,
    request: DeleteRangeRequest,
) -> Result<Reply<DeleteRangeResponse>, Status> {
    rules::check_delete(&request).map_err(status::of_api)?;
    access.stats().deletes.inc();
    access.span().set("key.bytes", request.key.len());
    let turn = turn_for(access, extent::returned_by_delete(&request)).await?;
    let response = access.propose(request).await?;
    access.send(response, turn).await
}

async fn txn(access: &Access, request: TxnRequest) -> Result<Reply<TxnResponse>, Status> {
    let max_ops = access.settings().max_txn_ops;
    rules::check_txn(&request, max_ops).map_err(status::of_api)?;
    access.stats().txns.inc();
    let operations = request.success.len().max(request.failure.len());
    access.span().set("operations", operations);
    match validate::read_only(&request) {
        ReadOnly::No => write_txn(access, request).await,
        read_only @ (ReadOnly::Serializable | ReadOnly::Linearizable) => {
            let begun = Stopwatch::start();
            let answer = read_only_txn(access, request, read_only).await;
            let durations = &access.stats().durations;
            durations.request(RequestKind::ReadOnlyTxn, answer.is_ok(), begun.elapsed());
            answer
        }
    }
}

async fn read_only_txn(
    access: &Access,
    request: TxnRequest,
    read_only: ReadOnly,
) -> Result<Reply<TxnResponse>, Status> {
    if read_only == ReadOnly::Linearizable {
        access.linearize().await.map_err(status::of_refused)?;
    }
    let _reading = access.span().child("read");
    let of_read = access.clone();
    let length = extent::length_of_txn(&request);
    let request = Arc::new(request);
    let look = move |reader: &Reader| -> Result<TxnResponse, ReadError> {
        let mut response = reader.txn(&request)?;
        of_read.complete(&mut response.header);
        Ok(response)
    };
    if length == Length::Short {
        let response = access.look(&look).map_err(status::of_read)?;
        return access.send_or_build(response, look).await;
    }
    access.build(look).await
}

async fn write_txn(access: &Access, request: TxnRequest) -> Result<Reply<TxnResponse>, Status> {
    let turn = turn_for(access, extent::returned_by_txn(&request)).await?;
    let response = access.propose(request).await?;
    access.send(response, turn).await
}

/// The reply to a write is built by the state machine, which does not wait for anything. So a
/// write that may return much waits for its turn before it is proposed.
async fn turn_for(
    access: &Access,
    returned: Vec<RangeRequest>,
) -> Result<Option<BuildTurn>, Status> {
    if returned.is_empty() {
        return Ok(None);
    }
    let look = move |reader: &Reader| {
        let touch = |range| reader.range(range).map(drop);
        returned.iter().try_for_each(touch)
    };
    match access.quick(look).await.map_err(status::of_unread)? {
        Some(()) => Ok(None),
        None => Ok(Some(access.build_turn().await)),
    }
}

/// Compacts; with `physical`, waits until the space of the compacted versions has been given back.
async fn compact(
    access: &Access,
    request: CompactionRequest,
) -> Result<CompactionResponse, Status> {
    let response = access.propose(request).await?;
    if request.physical {
        let done = access.wait_compaction(Revision(request.revision));
        done.await.map_err(status::of_refused)?;
    }
    Ok(response)
}

/// Runs a read of a range, and counts how long it took unless it was stopped at the end of its
/// budget.
fn timed<T>(
    durations: &Durations,
    read: impl FnOnce() -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let begun = Stopwatch::start();
    let answer = read();
    if !matches!(answer, Err(ReadError::Stopped)) {
        durations.range(answer.is_ok(), begun.elapsed());
    }
    answer
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let access = self.context.admit(Method::Range, &request).await?;
        large::reply(range(&access, request.into_inner()).await)
    }

    /// The pieces are in the body that replaces tonic's.
    type RangeStreamStream = Empty<Result<RangeStreamResponse, Status>>;

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let access = self.context.admit(Method::RangeStream, &request).await?;
        let (metadata, _, request) = request.into_parts();
        let pieces = range_stream::start(&access, request).await?;
        let pieces = access.stream(Method::RangeStream, &metadata, pieces);
        Ok(large::stream(pieces))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let access = self.context.admit(Method::Put, &request).await?;
        reply(put(&access, request.into_inner()).await)
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let access = self.context.admit(Method::DeleteRange, &request).await?;
        large::reply(delete_range(&access, request.into_inner()).await)
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let access = self.context.admit(Method::Txn, &request).await?;
        large::reply(txn(&access, request.into_inner()).await)
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let access = self.context.admit(Method::Compact, &request).await?;
        reply(compact(&access, request.into_inner()).await)
    }
}
