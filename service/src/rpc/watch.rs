//! `etcdserverpb.Watch`.
//!
//! The service is written out rather than generated, for the sake of its codec: responses come with
//! their events encoded already, shared by all watchers that want the same, and the generated
//! service would take them as messages. [`conclave_core::watch`] has the rest of a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::WatchRequest;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, CompressionEncoding, EncodeBuf, Encoder, Streaming};
use tonic::codegen::{BoxFuture, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstDecoder;

use super::admitted::Gate;
use super::stack::{Messages, Meter};
use super::stream::{Ended, is_unreadable};
use super::{Context, status};
use crate::method::Method;
use conclave_core::watch::{EncodedWatchResponse, End, Responses};

/// Initial size of a stream's buffers; both grow when needed. There may be very many streams, most
/// of them quiet, and tonic's 8 KiB for each direction would be most of their cost.
const BUFFER_BYTES: usize = 512;
/// Responses that are ready together are sent together, up to this many bytes.
const SEND_BYTES: usize = 32 << 10;

/// The service, as the edge calls it.
#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
    message_bytes_max: usize,
}

impl Service {
    /// Takes requests of up to `message_bytes_max`.
    pub(crate) fn new(context: Context, message_bytes_max: usize) -> Service {
        Service {
            context,
            message_bytes_max,
        }
    }
}

impl NamedService for Service {
    const NAME: &'static str = "etcdserverpb.Watch";
}

impl<B> tower::Service<http::Request<B>> for Service
where
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != "/etcdserverpb.Watch/Watch" {
            return Box::pin(async { Ok(Status::unimplemented("unknown method").into_http()) });
        }
        let Service {
            context,
            message_bytes_max,
        } = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(WatchCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(message_bytes_max)
                .max_encoding_message_size(usize::MAX);
            Ok(grpc.streaming(Watch { context }, request).await)
        })
    }
}

/// The method.
struct Watch {
    context: Context,
}

impl StreamingService<WatchRequest> for Watch {
    type Response = EncodedWatchResponse;
    type ResponseStream = Ended<WatchResponses>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<WatchRequest>>) -> Self::Future {
        Box::pin(open(self.context.clone(), request))
    }
}

async fn open(
    context: Context,
    request: Request<Streaming<WatchRequest>>,
) -> Result<Response<Ended<WatchResponses>>, Status> {
    let (metadata, extensions, requests) = request.into_parts();
    let gate = context.open(Method::Watch, &extensions).await;
    let meter = extensions.get::<Arc<Meter>>().cloned();
    let watches = meter.as_ref().map(|meter| meter.watches());
    let requests = Messages::new(counted(&gate, requests), meter);
    let responses = gate.watch(requests, watches);
    Ok(gate.stream(Method::Watch, &metadata, WatchResponses(responses)))
}

/// Returns the same requests, counts them, and records one that cannot be decoded.
fn counted(
    gate: &Gate,
    requests: Streaming<WatchRequest>,
) -> impl Stream<Item = Result<WatchRequest, Status>> + Send + Unpin + use<> {
    let received = gate.received(Method::Watch);
    let failed = gate.stats().watch_streams_failed.clone();
    let gate = gate.clone();
    requests.map(move |request| {
        match &request {
            Ok(_) => received.inc(),
            Err(status) if is_unreadable(status) => {
                failed.inc();
                gate.record_unreadable(status);
            }
            Err(_) => {}
        }
        request
    })
}

/// Responses of a stream, with a status as its end.
pub(crate) struct WatchResponses(Responses<Status>);

impl Stream for WatchResponses {
    type Item = Result<EncodedWatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.0).poll_next(cx);
        polled.map(|item| {
            item.map(|response| {
                response.map_err(|end| match end {
                    End::Client(status) => status,
                    End::Read(error) => status::of_read(error),
                    End::Stopped => status::of_api(ApiError::Stopped),
                })
            })
        })
    }
}

/// Requests as prost reads them, responses as [`conclave_core::watch`] made them.
#[derive(Clone, Copy, Debug)]
struct WatchCodec;

#[derive(Clone, Copy, Debug)]
struct WatchEncoder;

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, SEND_BYTES)
}

impl Codec for WatchCodec {
    type Encode = EncodedWatchResponse;
    type Decode = WatchRequest;
    type Encoder = WatchEncoder;
    type Decoder = ProstDecoder<WatchRequest>;

    fn encoder(&mut self) -> WatchEncoder {
        WatchEncoder
    }

    fn decoder(&mut self) -> ProstDecoder<WatchRequest> {
        ProstDecoder::new(buffers())
    }
}

impl Encoder for WatchEncoder {
    type Item = EncodedWatchResponse;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(item.encoded_len());
        item.encode(out);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}
