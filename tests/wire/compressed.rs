//! Compressed requests.

use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use conclave_proto::etcdserverpb::watch_request::RequestUnion;
use conclave_proto::etcdserverpb::{
    LeaseGrantRequest, RangeRequest, WatchCreateRequest, WatchRequest,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use harness::{Node, api, fails, within};
use http::{HeaderMap, Request};
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::client::GrpcService as _;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Status};

suite![
    a_compressed_request_is_one => "3.4 knows no gzip",
    a_compressed_stream_is_one => "3.4 knows no gzip",
    uncompressed_messages_may_be_announced_as_compressed => "3.4 knows no gzip",
    what_is_too_large_when_decompressed_is_refused => "3.4 knows no gzip",
    what_does_not_decompress_is_refused => "3.4 knows no gzip",
    all_members_of_a_gzip_stream_count => "3.4 knows no gzip",
    a_message_compressed_in_a_way_that_was_not_named,
    other_encodings_are_not_known,
];

/// The limit of a message: the largest request plus etcd's allowance for framing.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

async fn a_compressed_request_is_one(node: Node) {
    let mut kv = node.kv().send_compressed(Gzip);
    let value = vec![b'x'; 1 << 20];
    kv.put(api::put("a", value.clone())).await.unwrap();
    let mut leases = node.leases().send_compressed(Gzip);
    let grant = LeaseGrantRequest { ttl: 60, id: 7 };
    leases.lease_grant(grant).await.unwrap();
    // Replies are not compressed unless they need to be.
    let reply = kv.range(api::get("a")).await.unwrap();
    assert_eq!(reply.into_inner().kvs[0].value, value);
}

async fn a_compressed_stream_is_one(node: Node) {
    let mut watches = node.watches().send_compressed(Gzip);
    let (requests, receiver) = tokio::sync::mpsc::channel(4);
    let receiver = tokio_stream::wrappers::ReceiverStream::new(receiver);
    requests.send(request(api::watch("a"))).await.unwrap();
    let mut responses = watches.watch(receiver).await.unwrap().into_inner();
    let created = within("a response", responses.next())
        .await
        .unwrap()
        .unwrap();
    assert!(created.created);
    node.put("a", "1").await;
    let changed = within("an event", responses.next()).await.unwrap().unwrap();
    assert_eq!(changed.events.len(), 1);
    // A second message of the same stream.
    requests.send(request(api::watch("b"))).await.unwrap();
    let created = within("a response", responses.next())
        .await
        .unwrap()
        .unwrap();
    assert!(created.created);
}

fn request(create: WatchCreateRequest) -> WatchRequest {
    let request_union = Some(RequestUnion::CreateRequest(create));
    WatchRequest { request_union }
}

async fn call(node: &Node, encoding: &str, flag: u8, message: &[u8]) -> Result<HeaderMap, Status> {
    call_method(node, "Range", encoding, flag, message).await
}

/// Sends a `POST` to a method of the service KV with a body of one message.
async fn call_method(
    node: &Node,
    method: &str,
    encoding: &str,
    flag: u8,
    message: &[u8],
) -> Result<HeaderMap, Status> {
    let mut body = BytesMut::new();
    body.put_u8(flag);
    body.put_u32(u32::try_from(message.len()).unwrap());
    body.put_slice(message);
    let request = Request::post(format!("/etcdserverpb.KV/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .body(Body::new(http_body_util::Full::new(body.freeze())))
        .unwrap();
    let mut channel = node.channel();
    std::future::poll_fn(|cx| channel.poll_ready(cx))
        .await
        .unwrap();
    let response = channel.call(request).await.unwrap();
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(response.headers().clone()),
    }
}

fn a_range() -> Bytes {
    let request = RangeRequest {
        key: "a".into(),
        ..Default::default()
    };
    request.encode_to_vec().into()
}

async fn uncompressed_messages_may_be_announced_as_compressed(node: Node) {
    for encoding in ["gzip", "identity"] {
        let headers = call(&node, encoding, 0, &a_range()).await.unwrap();
        assert_eq!(headers["content-type"], "application/grpc");
    }
}

async fn what_is_too_large_when_decompressed_is_refused(node: Node) {
    let mut kv = node.kv().send_compressed(Gzip);
    kv.put(api::put("a", vec![0; 1 << 20])).await.unwrap();
    for value in [MESSAGE_BYTES_MAX + 1, 100 << 20] {
        let outcome = kv.put(api::put("a", vec![0; value])).await;
        fails(outcome, Code::ResourceExhausted, "larger than max");
    }
    // The connection stays usable.
    kv.put(api::put("a", "1")).await.unwrap();
}

async fn what_does_not_decompress_is_refused(node: Node) {
    for garbage in [
        &b"garbage"[..],
        b"",
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xff\xff\xff",
    ] {
        let outcome = call(&node, "gzip", 1, garbage).await;
        fails(outcome, Code::Internal, "grpc: failed to decompress");
    }
    assert_eq!(node.revision().await, 1);
}

/// Compressors that work in parallel or append produce gzip streams of several members (RFC 1952).
/// If only the first member counted, a put would be acknowledged with a part of its fields.
async fn all_members_of_a_gzip_stream_count(node: Node) {
    let put = api::put("a", "a value").encode_to_vec();
    let members: Vec<u8> = put.chunks(5).flat_map(gzip).collect();
    call_method(&node, "Put", "gzip", 1, &members)
        .await
        .unwrap();
    assert_eq!(node.value("a").await.as_deref(), Some("a value"));
    let trailing = [&gzip(&put)[..], b"trailing"].concat();
    let outcome = call_method(&node, "Put", "gzip", 1, &trailing).await;
    fails(outcome, Code::Internal, "grpc: failed to decompress");
    assert_eq!(node.revision().await, 2);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn a_message_compressed_in_a_way_that_was_not_named(node: Node) {
    let outcome = call(&node, "identity", 1, &a_range()).await;
    fails(outcome, Code::Internal, "");
}

async fn other_encodings_are_not_known(node: Node) {
    for encoding in ["deflate", "zstd", "snappy", "GZIP"] {
        let outcome = call(&node, encoding, 0, &a_range()).await;
        let text = format!("grpc: Decompressor is not installed for grpc-encoding {encoding:?}");
        fails(outcome, Code::Unimplemented, &text);
    }
}
