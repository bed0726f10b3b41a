//! Input that is not a valid request.

use bytes::Bytes;
use conclave_proto::etcdserverpb::RangeRequest;
use harness::api::put;
use harness::{Node, fails, http1, raw};
use http::{Method, Request};
use prost::Message as _;
use tonic::body::Body;
use tonic::client::GrpcService as _;
use tonic::{Code, Status};

suite![
    a_message_that_does_not_decode,
    a_text_that_is_not_utf8 => "3.4's decoder does not check",
    an_unknown_field_is_ignored,
    an_unknown_service,
    an_unknown_method,
    an_empty_message_is_a_message,
    a_message_above_what_is_received,
    the_connection_survives,
    a_body_that_is_no_grpc,
    a_call_over_http1_is_not_found,
    a_request_of_http2_that_is_no_call => "3.4 resets the stream",
];

async fn a_message_that_does_not_decode(node: Node) {
    for bytes in [
        &b"\xff"[..],
        b"\x0a\x05ab",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ] {
        let outcome = raw::call(
            node.channel(),
            "/etcdserverpb.KV/Range",
            Bytes::copy_from_slice(bytes),
        );
        fails(outcome.await, Code::Internal, "");
    }
}

async fn a_text_that_is_not_utf8(node: Node) {
    let name = Bytes::from_static(b"\x0a\x02\xff\xfe");
    let outcome = raw::call(node.channel(), "/etcdserverpb.Auth/UserGet", name);
    fails(outcome.await, Code::Internal, "");
}

async fn an_unknown_field_is_ignored(node: Node) {
    node.put("a", "1").await;
    let mut message = RangeRequest {
        key: "a".into(),
        ..Default::default()
    }
    .encode_to_vec();
    message.extend_from_slice(b"\xfa\x7f\x03xyz");
    let reply = raw::call(node.channel(), "/etcdserverpb.KV/Range", message.into()).await;
    let reply = conclave_proto::etcdserverpb::RangeResponse::decode(reply.unwrap()).unwrap();
    assert_eq!(reply.count, 1);
}

async fn an_unknown_service(node: Node) {
    let outcome = raw::call(node.channel(), "/nobody.Knows/This", Bytes::new()).await;
    fails(outcome, Code::Unimplemented, "");
}

async fn an_unknown_method(node: Node) {
    let outcome = raw::call(node.channel(), "/etcdserverpb.KV/Increment", Bytes::new()).await;
    fails(outcome, Code::Unimplemented, "");
}

async fn an_empty_message_is_a_message(node: Node) {
    let outcome = raw::call(node.channel(), "/etcdserverpb.KV/Range", Bytes::new()).await;
    fails(
        outcome,
        Code::InvalidArgument,
        "etcdserver: key is not provided",
    );
    let outcome = raw::call(
        node.channel(),
        "/etcdserverpb.Maintenance/Status",
        Bytes::new(),
    )
    .await;
    assert!(outcome.is_ok());
}

/// The gRPC layer accepts half a MiB more than the limit of a request; above that it refuses with
/// its own text.
async fn a_message_above_what_is_received(node: Node) {
    let outcome = node.kv().put(put("a", vec![b'x'; 2_200_000])).await;
    fails(outcome, Code::ResourceExhausted, "larger than max");
}

async fn the_connection_survives(node: Node) {
    for _ in 0..3 {
        let bad = Bytes::from_static(b"\xff");
        let outcome = raw::call(node.channel(), "/etcdserverpb.KV/Put", bad).await;
        fails(outcome, Code::Internal, "");
        let outcome = node.kv().put(put("a", vec![b'x'; 2_200_000])).await;
        fails(outcome, Code::ResourceExhausted, "");
        node.put("a", "1").await;
    }
}

async fn a_body_that_is_no_grpc(node: Node) {
    let answer = http1::request(node.address(), "POST", "/etcdserverpb.KV/Range", "{}").await;
    let grpc_status = answer.header("grpc-status").unwrap_or("0");
    assert!(
        (400..500).contains(&answer.status) || grpc_status != "0",
        "{answer:?}"
    );
    assert_eq!(node.revision().await, 1);
}

/// The frame of a `DeleteRange` of the key `a`.
const DELETION: &str = "\0\0\0\0\x03\x0a\x01a";

/// A web page can make a browser send this, although only with a form's content type. The server
/// must not execute it, whatever the content type is.
async fn a_call_over_http1_is_not_found(node: Node) {
    node.put("a", "1").await;
    let (address, length) = (node.address(), DELETION.len());
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        for content_type in ["text/plain", "application/grpc", "application/grpc+proto"] {
            for path in [
                "/etcdserverpb.KV/DeleteRange",
                "/grpc.health.v1.Health/Check",
                "/nobody.Knows/This",
            ] {
                let request = format!(
                    "POST {path} {version}\r\nHost: {address}\r\nConnection: close\r\n\
                     Content-Type: {content_type}\r\nTE: trailers\r\n\
                     Content-Length: {length}\r\n\r\n{DELETION}"
                );
                let answer = http1::send(address, &request).await;
                assert_eq!(answer.status, 404, "{version} {content_type} {answer:?}");
                assert_eq!(answer.body, "404 page not found\n");
            }
        }
    }
    assert_eq!(node.revision().await, 2);
}

async fn a_request_of_http2_that_is_no_call(node: Node) {
    node.put("a", "1").await;
    let grpc = Some("application/grpc");
    for (method, content_type, http_status, code, text) in [
        (Method::POST, None, 415, Code::InvalidArgument, ""),
        (
            Method::POST,
            Some("text/plain"),
            415,
            Code::InvalidArgument,
            "invalid gRPC request content-type",
        ),
        (
            Method::POST,
            Some("application/grpc-web"),
            415,
            Code::InvalidArgument,
            "invalid gRPC request content-type",
        ),
        (Method::GET, grpc, 405, Code::Internal, "should be POST"),
        (Method::PUT, grpc, 405, Code::Internal, "should be POST"),
    ] {
        for path in [
            "/etcdserverpb.KV/DeleteRange",
            "/grpc.health.v1.Health/Check",
        ] {
            let mut request = Request::builder().method(method.clone()).uri(path);
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            let body = http_body_util::Full::new(Bytes::from_static(DELETION.as_bytes()));
            let request = request.body(Body::new(body)).unwrap();
            let mut channel = node.channel();
            std::future::poll_fn(|cx| channel.poll_ready(cx))
                .await
                .unwrap();
            let response = channel.call(request).await.unwrap();
            assert_eq!(response.status(), http_status, "{method} {content_type:?}");
            let status = Status::from_header_map(response.headers()).unwrap();
            assert_eq!(status.code(), code);
            assert!(status.message().contains(text), "{status}");
        }
    }
    assert_eq!(node.revision().await, 2);
}
