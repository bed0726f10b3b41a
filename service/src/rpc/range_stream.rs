//! `KV.RangeStream`: a range of any size, in pieces of one revision.
//!
//! A piece is read when the client has taken the one before, so the server holds one at a time. The
//! first is small, so that the client has something to do early; each further one is twice as
//! large, up to what a request may have.
//!
//! The pieces of all streams share [`LongReads::room_in_stream`](conclave_core::long_reads), since
//! a piece has at least one value, of any size, and there may be thousands of clients that do not
//! read. A stream that finds no room goes on with short pieces, which need none. If even one key is
//! too much for that, the stream waits until other clients have taken theirs, and fails after
//! [`ROOM_WAIT_MAX`], since a client that never reads looks like a slow one.
//!
//! # Sorting
//!
//! etcd refuses an order, but not a sort target without one, which asks for ascending. It then
//! sorts each piece by itself and goes on behind the last key of the sorted piece, so beyond its
//! first piece of ten keys it leaves keys out and sends others twice. Up to ten keys, if the limit
//! does not cut them, its answer is that of `Range`; so is ours, and more is refused.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use conclave_core::long_reads::UNCOUNTED_BYTES;
use conclave_proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use conclave_storage::machine::validate as rules;
use conclave_storage::reader::stream::RangeCursor;
use prost::Message as _;
use tokio::time::timeout;
use tokio_stream::Stream;
use tonic::Status;

use super::stream::Unfold;
use super::validate::{self, Streamed};
use super::{Access, large, status};

/// About the bytes of the first piece.
const FIRST_PIECE_BYTES: usize = 32 << 10;
/// About the bytes of a piece that needs no room, unless its last value is a large one.
const SHORT_PIECE_BYTES: usize = UNCOUNTED_BYTES / 2;
/// Longest time that a stream waits for room, as long as a client may take for a piece of a range.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);
/// Keys that are sorted, as many as etcd sorts rightly.
const SORTED_KEYS_MAX: usize = 10;

/// The pieces of a range, each the frame of a message.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

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
    let whole = |_| async {
        let request = request.clone();
        let read = access.read(move |reader| reader.range_of_few(&request, SORTED_KEYS_MAX));
        let Some(mut whole) = read.await? else {
            return Err(Status::unimplemented(
                "conclave: RangeStream sorts up to ten keys, and none that the limit cuts; use \
                 Range for more",
            ));
        };
        access.complete(&mut whole.header);
        Ok((whole, ()))
    };
    let (piece, ()) = in_room(access, FIRST_PIECE_BYTES, whole).await?;
    Ok(Box::pin(tokio_stream::once(Ok(piece))))
}

/// Reads the next piece. Returns it with the rest of the stream.
async fn next(rest: Rest) -> Result<(Bytes, Option<Rest>), Status> {
    let Rest {
        access,
        cursor,
        piece_bytes,
    } = rest;
    let read = |piece_bytes| {
        let cursor = cursor.clone();
        let read = access.read(move |reader| {
            let mut cursor = cursor.clone();
            let piece = reader.range_stream_step(&mut cursor, piece_bytes)?;
            Ok((piece, cursor))
        });
        async {
            let (mut piece, cursor) = read.await?;
            if cursor.is_finished() {
                access.complete(&mut piece.header);
            }
            Ok((piece, cursor))
        }
    };
    let (piece, cursor) = in_room(&access, piece_bytes, read).await?;
    let bytes_max = access.settings().max_request_bytes;
    let rest = (!cursor.is_finished()).then(|| Rest {
        piece_bytes: (piece_bytes * 2).min(bytes_max),
        access,
        cursor,
    });
    Ok((piece, rest))
}

/// Reads a piece of about `piece_bytes`, or a shorter one if there is no room, and encodes it.
async fn in_room<T, R>(
    access: &Access,
    piece_bytes: usize,
    read: impl Fn(usize) -> R,
) -> Result<(Bytes, T), Status>
where
    R: Future<Output = Result<(RangeResponse, T), Status>>,
{
    let mut size_bytes = 0;
    for piece_bytes in [piece_bytes, SHORT_PIECE_BYTES] {
        let (piece, rest) = read(piece_bytes).await?;
        size_bytes = piece.encoded_len();
        if let Some(room) = access.room_in_stream(size_bytes) {
            return Ok((room.taken_by(encoded(piece)?), rest));
        }
    }
    let room = timeout(ROOM_WAIT_MAX, access.wait_for_room_in_stream(size_bytes));
    let room = room.await.map_err(|_| {
        Status::resource_exhausted(
            "conclave: other clients do not read their streams, and there is no memory for this \
             one; try again later, or use Range with a limit",
        )
    })?;
    // Of the same size, unless it is the latest state, sorted, which may have changed.
    let (piece, rest) = read(SHORT_PIECE_BYTES).await?;
    Ok((room.taken_by(encoded(piece)?), rest))
}

fn encoded(piece: RangeResponse) -> Result<Bytes, Status> {
    let message = RangeStreamResponse {
        range_response: Some(piece),
    };
    large::frame_of(&message).map_err(status::of_unread)
}
