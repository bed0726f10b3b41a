//! Replies that tonic does not encode.
//!
//! tonic encodes a message whole, where it is sent: 300 MiB keep one of two workers for as long as
//! an election takes. So a large reply is encoded elsewhere ([`conclave_core::long_reads`]) and
//! comes as pieces of one message. A small range in key order is encoded as it is read, straight
//! from the engine's memory ([`conclave_storage::reader::rows`]), and comes as the whole message.
//!
//! Replies of medium size are encoded quickly, but a thousand of them take gigabytes if their
//! clients do not read. They are sent whole as long as there is room for all of them together, and
//! like large replies otherwise.
//!
//! The pieces of a `RangeStream` are messages of their own, but they too hold room for as long as
//! their clients take, so they are encoded here as well.
//!
//! In all these cases tonic gets an empty message or stream, and a layer replaces tonic's body by
//! the body made here ([`Replacement`]). Every other reply pays for one look at the response's
//! extensions.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use conclave_proto::etcdserverpb::response_op::Response as Op;
use conclave_proto::etcdserverpb::{
    DeleteRangeResponse, LeaseLeasesResponse, LeaseTimeToLiveResponse, RangeRequest, RangeResponse,
    ResponseHeader, TxnResponse,
};
use conclave_proto::mvccpb::KeyValue;
use conclave_storage::reader::rows::{EncodedRange, Measured};
use conclave_storage::reader::{ReadError, Reader};
use http::{HeaderMap, HeaderValue};
use hyper::body::Frame;
use prost::Message;
use tokio_stream::{Empty, Stream};
use tonic::body::Body;
use tonic::{Response, Status};

use conclave_core::long_reads::pieces::{self, BrokenOff, Pieces, Sent};
use conclave_core::long_reads::{
    BuildTurn, KEPT_BYTES_MAX, PIECE_BYTES, QUICK_BYTES, Room, UNCOUNTED_BYTES, Unread,
};

use super::status;

/// A reply, in the form it is sent in.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    /// By tonic.
    Small(T),
    /// As it is: the buffers of one gRPC frame.
    Encoded(Vec<Bytes>),
    /// In pieces.
    Large(Pieces),
}

/// A message that may be large.
pub(crate) trait Heavy {
    /// Calls `visit` with the size of each part whose number a client decides, until `visit`
    /// returns false.
    fn visit(&self, visit: &mut dyn FnMut(usize) -> bool) -> bool;

    /// Returns true if the message is too large for one piece of work.
    fn is_large(&self) -> bool {
        self.exceeds(QUICK_BYTES)
    }

    /// Returns true if the message is larger. Visits only as many parts as that takes.
    fn exceeds(&self, size_bytes: usize) -> bool {
        let mut left = size_bytes;
        !self.visit(&mut |size_bytes| {
            // The numbers of a key-value and what frames it are some tens of bytes.
            let rest = left.checked_sub(size_bytes + 64);
            left = rest.unwrap_or(0);
            rest.is_some()
        })
    }
}

fn size_bytes(kv: &KeyValue) -> usize {
    kv.key.len() + kv.value.len()
}

impl Heavy for RangeResponse {
    fn visit(&self, visit: &mut dyn FnMut(usize) -> bool) -> bool {
        self.kvs.iter().map(size_bytes).all(visit)
    }
}

impl Heavy for DeleteRangeResponse {
    fn visit(&self, visit: &mut dyn FnMut(usize) -> bool) -> bool {
        self.prev_kvs.iter().map(size_bytes).all(visit)
    }
}

impl Heavy for TxnResponse {
    fn visit(&self, visit: &mut dyn FnMut(usize) -> bool) -> bool {
        self.responses.iter().all(|op| match &op.response {
            Some(Op::ResponseRange(range)) => range.visit(visit),
            Some(Op::ResponsePut(put)) => put.prev_kv.iter().map(size_bytes).all(&mut *visit),
            Some(Op::ResponseDeleteRange(delete)) => delete.visit(visit),
            Some(Op::ResponseTxn(txn)) => txn.visit(visit),
            None => true,
        })
    }
}

impl Heavy for LeaseTimeToLiveResponse {
    fn visit(&self, visit: &mut dyn FnMut(usize) -> bool) -> bool {
        self.keys.iter().map(Bytes::len).all(visit)
    }
}

impl Heavy for LeaseLeasesResponse {
    fn visit(&self, visit: &mut dyn FnMut(usize) -> bool) -> bool {
        self.leases.iter().map(|_| size_of::<i64>()).all(visit)
    }
}

impl super::Access {
    /// Decides how the reply to a write is sent. `turn` is the permission to build a large reply,
    /// if the caller knew beforehand that this one may be large. A small one needs no room: the
    /// write is executed, so its reply can be neither made again nor refused.
    pub(crate) async fn send<T: Message + Heavy + 'static>(
        &self,
        message: T,
        turn: Option<BuildTurn>,
    ) -> Result<Reply<T>, Status> {
        if !message.is_large() {
            return Ok(Reply::Small(message));
        }
        let turn = match turn {
            Some(turn) => turn,
            None => self.build_turn().await,
        };
        let sent = self.whole(turn, move || message.encode_to_vec());
        sent.await.map(Reply::Large).map_err(status::of_unread)
    }

    /// Builds a reply that may be large: as a quick read if that is enough, or else as one of few.
    pub(crate) async fn build<T: Message + Heavy + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + Sync + 'static,
    ) -> Result<Reply<T>, Status> {
        let look = Arc::new(look);
        let again = Arc::clone(&look);
        let quick = self.quick(move |reader| look(reader)).await;
        match quick.map_err(status::of_unread)? {
            Some(message) => {
                self.send_or_build(message, move |reader| again(reader))
                    .await
            }
            None => self.build_slowly(move |reader| again(reader)).await,
        }
    }

    /// Sends a reply whole as long as there is room for it, and else builds it again as one of few.
    pub(crate) async fn send_or_build<T: Message + Heavy + 'static>(
        &self,
        message: T,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Reply<T>, Status> {
        if !message.exceeds(UNCOUNTED_BYTES) {
            return Ok(Reply::Small(message));
        }
        if let Some(room) = self.room(message.encoded_len()) {
            let frame = frame_of(&message).map_err(status::of_unread)?;
            return Ok(Reply::Encoded(vec![room.taken_by(frame)]));
        }
        drop(message);
        self.build_slowly(look).await
    }

    /// Builds a reply as a whole, as one of few.
    pub(crate) async fn build_slowly<T: Message + Heavy + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Reply<T>, Status> {
        let turn = self.build_turn().await;
        let built = self.long(look).await.map_err(status::of_unread)?;
        if !built.exceeds(UNCOUNTED_BYTES) {
            return Ok(Reply::Small(built));
        }
        let sent = self.whole(turn, move || built.encode_to_vec()).await;
        sent.map(Reply::Large).map_err(status::of_unread)
    }

    /// Sends a range in key order that is encoded, as long as there is room for it.
    pub(crate) fn send_encoded<T>(&self, range: EncodedRange) -> Result<Option<Reply<T>>, Status> {
        let measured = range.measured;
        let Some(room) = self.room_for(&measured) else {
            return Ok(None);
        };
        let around = framed_around_rows(self.header(measured.now), &measured);
        let (before, after) = around.map_err(status::of_unread)?;
        let buffers = range.between(&before, &after).into_iter();
        let taken = buffers.map(|buffer| room.taken_by(buffer));
        Ok(Some(Reply::Encoded(taken.collect())))
    }

    fn room_for(&self, measured: &Measured) -> Option<Room> {
        let size_bytes = usize::try_from(measured.size_bytes).ok()?;
        self.room(size_bytes)
    }

    /// Sends a range in key order, encoded page by page: whole, if it is short and there is room.
    pub(crate) async fn send_pages<T>(
        &self,
        request: Arc<RangeRequest>,
    ) -> Result<Reply<T>, Status> {
        let access = self.clone();
        let sent = self.pieces(move |reader, sending| {
            reader.range_in_pages(&request, PIECE_BYTES, |range| {
                let measured = range.measure(KEPT_BYTES_MAX)?;
                access.confirm()?;
                let header = access.header(measured.now);
                if measured.size_bytes <= KEPT_BYTES_MAX
                    && let Some(room) = access.room_for(&measured)
                    && let Ok((before, after)) = framed_around_rows(header, &measured)
                {
                    let mut buffers = vec![before.into()];
                    while let Some(page) = range.next_page()? {
                        buffers.push(room.taken_by(page));
                    }
                    buffers.push(after.into());
                    sending.whole(buffers);
                    return Ok(());
                }
                let (before, after) = around_rows(header, &measured);
                let around = (before.len() + after.len()) as u64;
                sending.begin(around + measured.size_bytes)?;
                sending.send(before.into())?;
                while let Some(page) = range.next_page()? {
                    sending.send(page)?;
                }
                sending.send(after.into())
            })
        });
        match sent.await.map_err(status::of_unread)? {
            Sent::Whole(buffers) => Ok(Reply::Encoded(buffers)),
            Sent::Pieces(pieces) => Ok(Reply::Large(pieces)),
        }
    }
}

/// Encodes the fields of a range's reply before and after the key-values, whose field has the
/// second number.
fn around_rows(header: ResponseHeader, measured: &Measured) -> (Vec<u8>, Vec<u8>) {
    let before = RangeResponse {
        header: Some(header),
        ..RangeResponse::default()
    };
    let after = RangeResponse {
        more: measured.more,
        count: measured.count,
        ..RangeResponse::default()
    };
    (before.encode_to_vec(), after.encode_to_vec())
}

/// Like [`around_rows`], with what precedes a gRPC message.
fn framed_around_rows(
    header: ResponseHeader,
    measured: &Measured,
) -> Result<(Vec<u8>, Vec<u8>), Unread> {
    let (before, after) = around_rows(header, measured);
    let around = (before.len() + after.len()) as u64;
    let start = pieces::frame_header(around + measured.size_bytes)?;
    Ok(([&start, &before[..]].concat(), after))
}

/// Makes a gRPC frame of a message.
pub(super) fn frame_of(message: &impl Message) -> Result<Bytes, Unread> {
    let start = pieces::frame_header(message.encoded_len() as u64)?;
    let mut frame = Vec::with_capacity(start.len() + message.encoded_len());
    frame.extend_from_slice(&start);
    message.encode_raw(&mut frame);
    Ok(frame.into())
}

/// Makes the response of a unary call whose reply tonic may not have to encode.
pub(crate) fn reply<T: Default>(result: Result<Reply<T>, Status>) -> Result<Response<T>, Status> {
    let body = match result? {
        Reply::Small(message) => return Ok(Response::new(message)),
        Reply::Encoded(buffers) => Body::new(EncodedBody {
            buffers: buffers.into_iter(),
            done: false,
        }),
        Reply::Large(pieces) => Body::new(LargeBody {
            pieces,
            done: false,
        }),
    };
    let mut response = Response::new(T::default());
    response.extensions_mut().insert(Replacement::new(body));
    Ok(response)
}

/// Makes the response of a streaming call from the frames of its messages.
pub(crate) fn stream<S, T>(frames: Response<S>) -> Response<Empty<T>>
where
    S: Stream<Item = Result<Bytes, Status>> + Send + Unpin + 'static,
{
    let mut response = Response::new(tokio_stream::empty());
    let body = Body::new(StreamBody {
        frames: frames.into_inner(),
        done: false,
    });
    response.extensions_mut().insert(Replacement::new(body));
    response
}

/// Body to send in place of tonic's. Extensions must be cloneable, so the body is shared; only the
/// first caller of [`Replacement::of`] gets it.
#[derive(Clone)]
pub(crate) struct Replacement {
    body: Arc<Mutex<Option<Body>>>,
}

impl Replacement {
    fn new(body: Body) -> Replacement {
        Replacement {
            body: Arc::new(Mutex::new(Some(body))),
        }
    }

    /// Returns the body that replaces the response's, if there is one.
    pub(crate) fn of(response: &mut http::Response<Body>) -> Option<Body> {
        let replacement = response.extensions_mut().remove::<Replacement>()?;
        let mut body = replacement
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        body.take()
    }
}

/// The trailers of a call that succeeded.
fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

/// The buffers of one message, and gRPC's trailers.
struct EncodedBody {
    buffers: vec::IntoIter<Bytes>,
    done: bool,
}

impl hyper::body::Body for EncodedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(buffer) = this.buffers.next() {
            return Poll::Ready(Some(Ok(Frame::data(buffer))));
        }
        let done = std::mem::replace(&mut this.done, true);
        Poll::Ready((!done).then(|| Ok(Frame::trailers(trailers()))))
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}

/// The pieces of one message, and gRPC's trailers.
struct LargeBody {
    pieces: Pieces,
    done: bool,
}

impl hyper::body::Body for LargeBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let next = ready!(this.pieces.poll_next(cx));
        if let Some(Ok(piece)) = next {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        this.done = true;
        Poll::Ready(Some(match next {
            Some(Ok(_)) | None => Ok(Frame::trailers(trailers())),
            // A message that is not whole has no status of its own. The reset tells the client:
            // RESOURCE_EXHAUSTED and INTERNAL in gRPC's words.
            Some(Err(BrokenOff::Stalled)) => Err(h2::Reason::ENHANCE_YOUR_CALM.into()),
            Some(Err(BrokenOff::Failed)) => Err(h2::Reason::INTERNAL_ERROR.into()),
        }))
    }
}

/// The messages of a stream, and gRPC's trailers.
struct StreamBody<S> {
    frames: S,
    done: bool,
}

impl<S: Stream<Item = Result<Bytes, Status>> + Unpin> hyper::body::Body for StreamBody<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let mut trailers = trailers();
        match ready!(Pin::new(&mut this.frames).poll_next(cx)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
            Some(Err(status)) => status.add_header(&mut trailers)?,
            None => {}
        }
        this.done = true;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::etcdserverpb::LeaseStatus;

    use super::*;

    #[test]
    fn replies_about_leases_can_be_large() {
        let keys = |count| LeaseTimeToLiveResponse {
            keys: vec![Bytes::from(vec![b'k'; 1000]); count],
            ..Default::default()
        };
        assert!(!keys(1000).is_large());
        assert!(keys(QUICK_BYTES / 1000).is_large());
        let leases = |count| LeaseLeasesResponse {
            leases: vec![LeaseStatus { id: 1 }; count],
            ..Default::default()
        };
        assert!(!leases(1000).is_large());
        assert!(leases(QUICK_BYTES / 64).is_large());
    }
}
