//! `KV.RangeStream`: a range of any size, in pieces of one revision.
//!
//! A piece is read when the client has taken the one before, so the server holds one at a time. The
//! first is small, so that the client has something to do early; each further one is twice as
//! large, up to what a request may have.
//!
//! # Sorting
//!
//! etcd refuses an order, but not a sort target without one, which asks for ascending. It then
//! sorts each piece by itself and goes on behind the last key of the sorted piece, so beyond its
//! first piece of ten keys it leaves keys out and sends others twice. Up to ten keys, if the limit
//! does not cut them, its answer is that of `Range`; so is ours, and more is refused.

use std::pin::Pin;

use conclave_proto::etcdserverpb::{RangeRequest, RangeStreamResponse};
use conclave_storage::machine::validate as rules;
use conclave_storage::reader::stream::RangeCursor;
use tokio_stream::Stream;
use tonic::Status;

use super::stream::Unfold;
use super::validate::{self, Streamed};
use super::{Access, status};

/// About the bytes of the first piece.
const FIRST_PIECE_BYTES: usize = 32 << 10;
/// Keys that are sorted, as many as etcd sorts rightly.
const SORTED_KEYS_MAX: usize = 10;

/// The pieces of a range.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;

/// Rest of a stream that has not ended.
struct Rest {
    access: Access,
    cursor: RangeCursor,
    piece_bytes: usize,
}

/// Checks the request and begins the stream at the current revision.
pub(crate) async fn start(access: &Access, request: RangeRequest) -> Result<Pieces, Status> {
    rules::check_range(&request).map_err(status::of_api)?;
    let streamed = validate::streamed(&request);
    if streamed == Streamed::No {
        return Err(Status::unimplemented(
            "conclave: RangeStream neither sorts nor filters; use Range for that",
        ));
    }
    if !request.serializable {
        access.linearize().await.map_err(status::of_refused)?;
    }
    access.stats().ranges.inc();
    if streamed == Streamed::Sorted {
        return sorted(access, request).await;
    }
    let cursor = access.look(|reader| reader.range_stream(&request));
    let cursor = cursor.map_err(status::of_read)?;
    let rest = Rest {
        access: access.clone(),
        cursor,
        piece_bytes: FIRST_PIECE_BYTES,
    };
    Ok(Box::pin(Unfold::new(Some(rest), |rest| async move {
        match next(rest?).await {
            Ok((piece, rest)) => Some((Ok(piece), rest)),
            Err(status) => Some((Err(status), None)),
        }
    })))
}

/// Returns a range of few keys, sorted, in one piece.
async fn sorted(access: &Access, request: RangeRequest) -> Result<Pieces, Status> {
    let read = access.read(move |reader| reader.range_of_few(&request, SORTED_KEYS_MAX));
    let Some(mut piece) = read.await? else {
        return Err(Status::unimplemented(
            "conclave: RangeStream sorts up to ten keys, and none that the limit cuts; use Range \
             for more",
        ));
    };
    access.complete(&mut piece.header);
    let piece = RangeStreamResponse {
        range_response: Some(piece),
    };
    Ok(Box::pin(tokio_stream::once(Ok(piece))))
}

/// Reads the next piece. Returns it with the rest of the stream.
async fn next(rest: Rest) -> Result<(RangeStreamResponse, Option<Rest>), Status> {
    let Rest {
        access,
        cursor,
        piece_bytes,
    } = rest;
    let read = access.read(move |reader| {
        let mut cursor = cursor.clone();
        let piece = reader.range_stream_step(&mut cursor, piece_bytes)?;
        Ok((piece, cursor))
    });
    let (mut piece, cursor) = read.await?;
    let rest = if cursor.is_finished() {
        access.complete(&mut piece.header);
        None
    } else {
        let bytes_max = access.settings().max_request_bytes;
        Some(Rest {
            piece_bytes: (piece_bytes * 2).min(bytes_max),
            access,
            cursor,
        })
    };
    Ok((
        RangeStreamResponse {
            range_response: Some(piece),
        },
        rest,
    ))
}
