//! h2's view of requests whose clients make random choices wherever HTTP/2 and HPACK allow a
//! choice.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::Waker;
use std::time::Duration;

use http::header::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming as IncomingBody;
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::edge::{Protocols, Settings};

mod hpack;

use hpack::{Encoder, Field, integer};

/// `etcdctl endpoint status` with `--endpoints=http://127.0.0.1:53087`: its HEADERS frame.
const OF_A_URL: &str = "0000760104000000018386459760a924882d9dcb6571afa066a925a87510ac6e48d36a3f41\
    909d29aee30c044eae05c0b86e36c81e775f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff40027465\
    864d833505b11f40899acac8b24d494f6a7f857df7c0d0ad408d25062d495875996ee5b1063d5f03332e34";

/// `etcdctl get a` with `--endpoints=unix:///tmp/authority-scratch/s.sock`.
const OF_A_SOCKET: &str = "0000740104000000018386459060a924882d9dcb6571af9b8b1b4754c541956134d6c0e\
    d4ce7b0c9f4b20960d249d842e8393aff5f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff400274658\
    64d833505b11f40899acac8b24d494f6a7f857df7c4115b408d25062d495875996ee5b1063d5f03332e34";

/// The first frame of a client.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

const DATA: u8 = 0;

/// Authorities that clients send, and some that no client should send.
const AUTHORITIES: &[&[u8]] = &[
    b"127.0.0.1:2379",
    b"#initially=[127.0.0.1:2379]",
    b"http://127.0.0.1:2379",
    b"/run/conclave.sock",
    b"%2frun%2fconclave.sock",
    b"unix:///run/conclave.sock",
    b"user:password@host:1:2:3",
    b"[::1",
    b"",
    b" ",
    b"\xff\xfe\x00\r\n",
];

/// A request as its client means it. Its authorities can be anywhere among its fields.
#[derive(Debug, Default)]
struct Sent {
    fields: Vec<Field>,
    trailers: Option<Vec<Field>>,
    has_body: bool,
}

/// A request as h2 has read it: method and path among its headers, without the scheme, which h2
/// does not keep where there is no authority.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    fields: Vec<Field>,
    trailers: Vec<Field>,
}

fn field(name: &str, value: impl AsRef<[u8]>) -> Field {
    (name.as_bytes().to_vec(), value.as_ref().to_vec())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = Head {
        length: payload.len(),
        kind,
        flags,
        stream: stream.to_be_bytes(),
    };
    [&head.bytes()[..], payload].concat()
}

/// A header block in frames of random sizes, padded or not.
fn headers(block: &[u8], flags: u8, stream: u32, random: &mut StdRng) -> Vec<u8> {
    let mut rest = block;
    let split = |rest: &mut &[u8], random: &mut StdRng| {
        let count = match random.random_range(0..4) {
            0 => random.random_range(0..=rest.len().min(20)),
            _ => rest.len().min(16_000),
        };
        let (fragment, after) = rest.split_at(count);
        *rest = after;
        fragment.to_vec()
    };
    let mut payload = split(&mut rest, random);
    let mut flags = flags;
    if random.random_ratio(1, 5) {
        flags |= PRIORITY;
        payload.splice(0..0, [0x80, 0, 0, 0, 7]);
    }
    if random.random_ratio(1, 5) {
        let padding = random.random_range(0..=255);
        flags |= PADDED;
        payload.insert(0, padding);
        payload.extend(vec![0; usize::from(padding)]);
    }
    let mut bytes = Vec::new();
    let mut kind = HEADERS;
    loop {
        flags |= if rest.is_empty() { END_HEADERS } else { 0 };
        bytes.extend(frame(kind, flags, stream, &payload));
        if rest.is_empty() {
            return bytes;
        }
        (kind, flags, payload) = (CONTINUATION, 0, split(&mut rest, random));
    }
}

/// A random request.
fn request(random: &mut StdRng) -> Sent {
    let value = |random: &mut StdRng| match random.random_range(0..6) {
        0 => vec![],
        1 => random.random_range(0..1_000_000).to_string().into_bytes(),
        2 => vec![b'v'; random.random_range(0..3_000)],
        // Bytes that only an authority may have.
        3 => (0..random.random_range(0..40))
            .map(|_| random.random_range(0x80..=0xff))
            .collect(),
        _ => b"of every day".to_vec(),
    };
    let mut fields = vec![
        field(":method", ["GET", "POST"][random.random_range(0..2)]),
        field(":scheme", ["http", "https"][random.random_range(0..2)]),
        field(
            ":path",
            ["/", "/etcdserverpb.KV/Range", "/p?q"][random.random_range(0..3)],
        ),
    ];
    for _ in 0..random.random_range(0..5) {
        let name = ["host", "user-agent", "grpc-timeout", "x-a", "x-b"][random.random_range(0..5)];
        fields.push(field(name, value(random)));
    }
    for _ in 0..random.random_range(0..3) {
        let authority = match random.random_range(0..8) {
            0 => vec![b'a'; random.random_range(0..9_000)],
            1 => (0..random.random_range(0..50))
                .map(|_| random.random())
                .collect(),
            _ => AUTHORITIES[random.random_range(0..AUTHORITIES.len())].to_vec(),
        };
        fields.insert(
            random.random_range(0..=fields.len()),
            field(":authority", authority),
        );
    }
    let has_body = random.random();
    let trailers = (has_body && random.random()).then(|| vec![field("x-a", value(random))]);
    Sent {
        fields,
        trailers,
        has_body,
    }
}

/// The frames of a request, with other frames between them.
fn encode(sent: &Sent, stream: u32, encoder: &mut Encoder, random: &mut StdRng) -> Vec<u8> {
    let end = |ends: bool| if ends { END_STREAM } else { 0 };
    let mut bytes = Vec::new();
    let noise = |bytes: &mut Vec<u8>, random: &mut StdRng| match random.random_range(0..5) {
        // A priority, a ping, a window, an unknown frame that looks like headers.
        0 => bytes.extend(frame(2, 0, stream, &[0, 0, 0, 0, 1])),
        1 => bytes.extend(frame(6, 0, 0, &[7; 8])),
        2 => bytes.extend(frame(8, 0, 0, &[0, 0, 0, 1])),
        3 => bytes.extend(frame(0xbe, 0x05, stream, &request_like())),
        _ => {}
    };
    noise(&mut bytes, random);
    let block = encoder.block(&sent.fields, random);
    bytes.extend(headers(&block, end(!sent.has_body), stream, random));
    noise(&mut bytes, random);
    if sent.has_body {
        bytes.extend(frame(
            DATA,
            end(sent.trailers.is_none()),
            stream,
            &request_like(),
        ));
    }
    if let Some(trailers) = &sent.trailers {
        let block = encoder.block(trailers, random);
        bytes.extend(headers(&block, END_STREAM, stream, random));
    }
    bytes
}

/// A payload that contains a whole frame.
fn request_like() -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x84, 0x41];
    integer(&mut block, 0, 7, 1);
    frame(HEADERS, END_HEADERS, 1, &[&block[..], b"/"].concat())
}

/// The request that h2 should read.
fn expected(sent: &Sent) -> Read {
    let fields = sent
        .fields
        .iter()
        .filter(|(name, _)| name != b":authority" && name != b":scheme");
    Read {
        fields: sorted(fields.cloned()),
        trailers: sorted(sent.trailers.iter().flatten().cloned()),
    }
}

/// Sorts fields by name; the values of one name keep their order.
fn sorted(fields: impl Iterator<Item = Field>) -> Vec<Field> {
    let mut fields: Vec<Field> = fields.collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

fn fields(headers: &HeaderMap) -> impl Iterator<Item = Field> {
    headers
        .iter()
        .map(|(name, value)| field(name.as_str(), value))
}

async fn read(request: http::Request<IncomingBody>) -> Read {
    let (parts, body) = request.into_parts();
    assert_eq!(parts.uri.authority(), None);
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let pseudo = [
        field(":method", parts.method.as_str()),
        field(":path", path),
    ];
    let body = body.collect().await.expect("a body that ends");
    Read {
        fields: sorted(pseudo.into_iter().chain(fields(&parts.headers))),
        trailers: sorted(body.trailers().into_iter().flat_map(fields)),
    }
}

/// Serves a connection; returns its requests in the order of their arrival.
async fn served(stream: DuplexStream, count: usize) -> Result<Vec<Read>, String> {
    let (requests, mut arrived) = tokio::sync::mpsc::channel(count.max(1));
    let service = hyper::service::service_fn(move |request: http::Request<IncomingBody>| {
        let requests = requests.clone();
        async move {
            let request = tokio::spawn(read(request));
            requests.try_send(request).expect("no more than were sent");
            Ok::<_, Infallible>(http::Response::new(tonic::body::Body::empty()))
        }
    });
    let protocols = Protocols::new(&Settings::default());
    let io = TokioIo::new(WithoutAuthority::new(stream));
    let mut served = std::pin::pin!(protocols.http2.serve_connection(io, service));
    let mut seen = Vec::new();
    while seen.len() < count {
        tokio::select! {
            ended = served.as_mut() => {
                return Err(format!("ended after {} requests: {ended:?}", seen.len()));
            }
            Some(request) = arrived.recv() => {
                // The connection reads the request's body.
                tokio::select! {
                    read = request => seen.push(read.expect("no panics")),
                    ended = served.as_mut() => return Err(format!("ended in a body: {ended:?}")),
                }
            }
        }
    }
    Ok(seen)
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, what).await.expect("in time")
}

#[tokio::test]
async fn h2_reads_every_request_whatever_its_authority_and_encoding() {
    let mut indexed = 0;
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut encoder = Encoder::new();
        // Few enough for h2 to accept them before it answers any.
        let requests: Vec<Sent> = (0..random.random_range(1..40))
            .map(|_| request(&mut random))
            .collect();
        let mut bytes = [&HTTP2[..], SETTINGS].concat();
        for (number, request) in (0u32..).zip(&requests) {
            bytes.extend(encode(request, 2 * number + 1, &mut encoder, &mut random));
        }
        indexed += encoder.indexed_authorities;
        // Large enough for all bytes, so that neither side waits for the other.
        let (mut client, server) = tokio::io::duplex(8 << 20);
        client.write_all(&bytes).await.expect("it fits");
        let seen = in_time(served(server, requests.len())).await;
        let seen = seen.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for (number, (seen, request)) in seen.iter().zip(&requests).enumerate() {
            assert_eq!(*seen, expected(request), "seed {seed}, request {number}");
        }
    }
    assert!(indexed > 100, "authorities were referred to: {indexed}");
}

#[tokio::test]
async fn h2_reads_what_etcdctl_sends() {
    for (sent, path) in [
        (OF_A_URL, "/etcdserverpb.Maintenance/Status"),
        (OF_A_SOCKET, "/etcdserverpb.KV/Range"),
    ] {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let end = frame(DATA, END_STREAM, 1, &[]);
        let bytes = [&HTTP2[..], SETTINGS, &from_hex(sent), &end].concat();
        client.write_all(&bytes).await.expect("it fits");
        let seen = in_time(served(server, 1)).await.expect("one request");
        assert!(seen[0].fields.contains(&field(":path", path)), "{seen:?}");
        assert!(
            seen[0].fields.contains(&field("te", "trailers")),
            "{seen:?}"
        );
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// Input that must end the connection, after an answer.
#[tokio::test]
async fn what_is_not_allowed_ends_the_connection() {
    let block = |bytes: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes);
    let open = frame(HEADERS, 0, 1, &[0x83]);
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let flood: Vec<u8> = (0..10_000)
        .flat_map(|_| frame(CONTINUATION, 0, 1, &[]))
        .collect();
    let endless: Vec<u8> = (0..5)
        .flat_map(|_| frame(CONTINUATION, 0, 1, &[0x83; 16_000]))
        .collect();
    let cases: &[(&str, Vec<u8>)] = &[
        ("index 0", block(&[0x80])),
        ("an index behind the table", block(&[0xbe])),
        ("a name behind the table", block(&[0x7e, 0])),
        ("an index without an end", block(&huge)),
        ("a value that is missing", block(&[0x41])),
        ("a value that is cut off", block(&[0x41, 5, b'a'])),
        ("a Huffman code that is cut off", block(&[0x41, 0x81, 0xfe])),
        ("padding of eight bits", block(&[0x41, 0x81, 0xff])),
        (
            "the end of string",
            block(&[0x41, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ),
        ("a table that is too large", block(&[0x3f, 0xe2, 0x1f])),
        ("a table that changes late", block(&[0x83, 0x20])),
        (
            "padding without end",
            frame(HEADERS, END_HEADERS | PADDED, 1, &[9, 1]),
        ),
        (
            "no room for a priority",
            frame(HEADERS, END_HEADERS | PRIORITY, 1, &[0]),
        ),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &[0x83]),
        ),
        (
            "a continuation of another",
            [&open[..], &frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
        ),
        (
            "another frame in between",
            [&open[..], &frame(6, 0, 0, &[0; 8])].concat(),
        ),
        (
            "a frame that is too large",
            block(&vec![0x83; FRAME_BYTES_MAX + 1]),
        ),
        ("frames without end", [&open[..], &flood].concat()),
        ("a block without end", [&open[..], &endless].concat()),
    ];
    for (name, bytes) in cases {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let bytes = [&HTTP2[..], SETTINGS, bytes].concat();
        client.write_all(&bytes).await.expect("it fits");
        let ended = in_time(served(server, 1)).await.expect_err(name);
        assert!(ended.contains("after 0 requests: Err"), "{name}: {ended}");
        let mut answer = Vec::new();
        client
            .read_to_end(&mut answer)
            .await
            .expect("it was closed");
        let kinds = kinds(&answer);
        assert!(kinds.contains(&7), "{name}: no GOAWAY in {kinds:?}");
    }
}

/// The types of the frames in these bytes.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some(head) = Head::parse(bytes) {
        kinds.push(head.kind);
        bytes = bytes
            .get(FRAME_HEADER_BYTES + head.length..)
            .unwrap_or_default();
    }
    kinds
}

/// A stream whose client sends these chunks and then nothing.
struct Chunks(VecDeque<Vec<u8>>);

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(chunk) = self.0.front_mut() else {
            return Poll::Pending;
        };
        let count = chunk.len().min(buffer.remaining());
        buffer.put_slice(&chunk[..count]);
        chunk.drain(..count);
        if chunk.is_empty() {
            self.0.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

/// The bytes read from a connection, in reads of these sizes.
fn passed_on(stream: &mut WithoutAuthority<Chunks>, mut size: impl FnMut() -> usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let mut bytes = vec![0; size()];
        let mut buffer = ReadBuf::new(&mut bytes);
        let polled = Pin::new(&mut *stream).poll_read(&mut cx, &mut buffer);
        if polled.is_pending() || buffer.filled().is_empty() {
            return all;
        }
        all.extend_from_slice(buffer.filled());
    }
}

/// Chunks of a few sizes, most of them small.
fn torn(bytes: &[u8], random: &mut StdRng) -> VecDeque<Vec<u8>> {
    let mut chunks = VecDeque::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = [1, 7, 9, 30, 1000][random.random_range(0..5)];
        let (chunk, after) = rest.split_at(random.random_range(1..=size).min(rest.len()));
        chunks.push_back(chunk.to_vec());
        rest = after;
    }
    chunks
}

#[test]
fn it_does_not_matter_how_the_bytes_arrive() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut encoder = Encoder::new();
        let mut sent = HTTP2.to_vec();
        for number in 0..random.random_range(1..20) {
            let request = request(&mut random);
            sent.extend(encode(&request, 2 * number + 1, &mut encoder, &mut random));
        }
        let mut whole = WithoutAuthority::new(Chunks([sent.clone()].into()));
        let whole = passed_on(&mut whole, || 1 << 20);
        assert!(whole.len() <= sent.len(), "seed {seed}");
        let mut in_pieces = WithoutAuthority::new(Chunks(torn(&sent, &mut random)));
        let in_pieces = passed_on(&mut in_pieces, || random.random_range(1..100));
        assert!(in_pieces == whole, "seed {seed}");
    }
}

/// Only a frame that carries a block waits for its end.
#[test]
fn other_frames_are_passed_on_as_they_come() {
    let data = frame(DATA, 0, 1, &[7; 100]);
    let headers = request_like();
    let mut stream = WithoutAuthority::new(Chunks([HTTP2.to_vec(), data[..50].to_vec()].into()));
    assert_eq!(passed_on(&mut stream, || 1000)[HTTP2.len()..], data[..50]);
    let rest = [&data[50..], &headers[..headers.len() - 1]].concat();
    stream.stream.0.push_back(rest);
    assert_eq!(passed_on(&mut stream, || 1000), data[50..]);
    stream
        .stream
        .0
        .push_back(headers[headers.len() - 1..].to_vec());
    assert_eq!(
        passed_on(&mut stream, || 1000),
        frame(HEADERS, END_HEADERS, 1, &[0x83, 0x86, 0x84])
    );
}

/// Meaningless bytes cause no additional output.
#[test]
fn any_bytes_are_taken() {
    for seed in 0..2_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sent = HTTP2.to_vec();
        for _ in 0..random.random_range(1..20) {
            let block: Vec<u8> = (0..random.random_range(0..40))
                .map(|_| random.random())
                .collect();
            let kind = [HEADERS, HEADERS, CONTINUATION, DATA][random.random_range(0..4)];
            sent.extend(frame(kind, random.random(), 1, &block));
        }
        let mut stream = WithoutAuthority::new(Chunks(torn(&sent, &mut random)));
        let passed = passed_on(&mut stream, || random.random_range(1..100));
        // A refused frame may be empty, and its replacement is not.
        assert!(
            passed.len() <= sent.len() + 2 * FRAME_HEADER_BYTES,
            "seed {seed}"
        );
    }
}
