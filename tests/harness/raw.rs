//! gRPC calls with raw bytes in place of the message.

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

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
