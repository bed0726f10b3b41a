//! gRPC calls with raw bytes in place of the message, and of a client without a clock.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// Calls `path` with `message` as the body of its one frame; returns the body of the reply.
pub async fn call(channel: Channel, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(path);
    Ok(grpc
        .unary(Request::new(message), path, Unchanged)
        .await?
        .into_inner())
}

/// Makes a unary call with these headers, of a client that leaves it to the server to end it.
/// Returns the status that the server gives.
pub async fn status_of(
    address: &str,
    path: &str,
    headers: &[(&'static str, &str)],
    message: &impl prost::Message,
) -> Status {
    let socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let (mut requests, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    // Ends with the call, when the sender of requests is dropped.
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut body) = requests
        .send_request(request.body(()).expect("a request"), false)
        .expect("the connection is open");
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).expect("a short message"));
    message.encode(&mut frame).expect("in memory");
    // The server may have answered already.
    let _ = body.send_data(frame.freeze(), true);
    let (head, mut body) = response.await.expect("a response").into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        return status;
    }
    while let Some(data) = body.data().await {
        let count = data.expect("data").len();
        let released = body.flow_control().release_capacity(count);
        released.expect("it was received");
    }
    let trailers = body.trailers().await.expect("an end").expect("trailers");
    Status::from_header_map(&trailers).expect("a status")
}

/// Calls `path`, waits for the beginning of the reply, and returns the rest without reading it.
pub async fn call_unread(
    channel: Channel,
    path: &'static str,
    message: impl prost::Message,
) -> Result<Streaming<Bytes>, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = Request::new(message.encode_to_vec().into());
    let path = PathAndQuery::from_static(path);
    let begun = grpc.server_streaming(request, path, Unchanged).await?;
    Ok(begun.into_inner())
}

/// An encoded `TxnRequest`: a put inside `depth` nested transactions. Built from the inside out in
/// one pass, since the deepest ones would overflow any stack.
pub fn nested_put(depth: usize) -> Bytes {
    // { key: "x" }
    let mut reversed = vec![b'x', 0x01, 0x0a];
    let mut wrap = |tag: u8| {
        let mut head = vec![tag];
        prost::encoding::encode_varint(reversed.len() as u64, &mut head);
        reversed.extend(head.into_iter().rev());
    };
    // success: [ { request_put } ]
    wrap(0x12);
    wrap(0x12);
    for _ in 0..depth {
        // success: [ { request_txn } ]
        wrap(0x22);
        wrap(0x12);
    }
    reversed.into_iter().rev().collect()
}

/// Passes bytes through unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unchanged;

impl Codec for Unchanged {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Unchanged {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Unchanged {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
