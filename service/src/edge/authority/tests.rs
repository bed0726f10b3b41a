use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::Waker;
use std::time::Duration;

use http::uri::Authority;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::edge::{Protocols, Settings};

mod hpack;

use hpack::{Encoder, huffman};

/// `etcdctl endpoint status` with `--endpoints=http://127.0.0.1:53087`: its HEADERS frame.
const OF_A_URL: &str = "0000760104000000018386459760a924882d9dcb6571afa066a925a87510ac6e48d36a3f41\
    909d29aee30c044eae05c0b86e36c81e775f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff40027465\
    864d833505b11f40899acac8b24d494f6a7f857df7c0d0ad408d25062d495875996ee5b1063d5f03332e34";

/// `etcdctl get a` with `--endpoints=http://127.0.0.1:34453`, which dials by another name.
const OF_A_GET: &str = "00006b0104000000018386459060a924882d9dcb6571af9b8b1b4754c5418b089d5c0b8170\
    dc65a69b675f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff40027465864d833505b11f40899acac8\
    b24d494f6a7f867df79c7ddb7f408d25062d495875996ee5b1063d5f03332e34";

/// `etcdctl get a` with `--endpoints=unix:///tmp/authority-scratch/s.sock`.
const OF_A_SOCKET: &str = "0000740104000000018386459060a924882d9dcb6571af9b8b1b4754c541956134d6c0e\
    d4ce7b0c9f4b20960d249d842e8393aff5f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff400274658\
    64d833505b11f40899acac8b24d494f6a7f857df7c4115b408d25062d495875996ee5b1063d5f03332e34";

/// What a client sends first of all.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// What clients send that is no authority, and what becomes of it.
const BAD: &[(&str, &str)] = &[
    ("http://127.0.0.1:2379", "httpx--127.0.0.1x2379"),
    (
        "https://etcd-1.example.com:2379",
        "httpsx--etcd-1.example.comx2379",
    ),
    ("http://[::1]:2379", "httpx--[xx1]x2379"),
    ("unix:///run/conclave.sock", "unixx---run-conclave.sock"),
    ("/run/conclave.sock", "-run-conclave.sock"),
    ("%2frun%2fconclave.sock", "-2frun-2fconclave.sock"),
    ("localhost:2379/", "localhostx2379-"),
];

/// What is one; and the empty name, which cannot be made one.
const GOOD: &[&str] = &[
    "",
    "localhost",
    "127.0.0.1:2379",
    "[::1]:2379",
    "etcd-1.example.com",
];

/// A stream whose client sends these chunks, and then nothing or the end.
struct Sent {
    chunks: VecDeque<Vec<u8>>,
    ends: bool,
}

impl AsyncRead for Sent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(chunk) = self.chunks.front_mut() else {
            return if self.ends {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        };
        let count = chunk.len().min(buffer.remaining());
        buffer.put_slice(&chunk[..count]);
        chunk.drain(..count);
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

/// What can be read of a connection, in reads of so many bytes.
fn read(stream: &mut Mended<Sent>, mut size: impl FnMut() -> usize) -> Vec<u8> {
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

/// The connection of a client that has sent the preface and this, and may send more.
fn connected(sent: &[&[u8]]) -> Mended<Sent> {
    let chunks = std::iter::once(&HTTP2[..]).chain(sent.iter().copied());
    Mended::new(Sent {
        chunks: chunks.map(<[u8]>::to_vec).collect(),
        ends: false,
    })
}

/// What comes of the bytes that follow the preface.
fn mended(sent: &[u8]) -> Vec<u8> {
    let all = read(&mut connected(&[sent]), || 8 << 10);
    assert_eq!(all[..HTTP2.len()], HTTP2[..]);
    all[HTTP2.len()..].to_vec()
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let [high, middle, low] = length;
    let mut frame = vec![high, middle, low, kind, flags, 0, 0, 0, 1];
    frame.extend_from_slice(payload);
    frame
}

/// A HEADERS frame of a request to `authority`.
fn request(authority: &str, is_huffman: bool) -> Vec<u8> {
    let block = Encoder::new(is_huffman).request(authority, "/etcdserverpb.KV/Range", "1S");
    frame(HEADERS, 0x04, &block)
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("digits")
    };
    digits.chunks(2).map(byte).collect()
}

#[test]
fn what_etcdctl_sends_is_mended() {
    for (sent, from, to) in [
        (OF_A_URL, "http://127.0.0.1:53087", "httpx--127.0.0.1x53087"),
        (
            OF_A_SOCKET,
            "/tmp/authority-scratch/s.sock",
            "-tmp-authority-scratch-s.sock",
        ),
    ] {
        let (sent, from, to) = (from_hex(sent), huffman(from), huffman(to));
        let mut expected = sent.clone();
        let at = sent.windows(from.len()).position(|part| part == from);
        let at = at.expect("it was captured so");
        expected[at..at + to.len()].copy_from_slice(&to);
        assert_eq!(mended(&sent), expected);
    }
    let fine = from_hex(OF_A_GET);
    assert_eq!(mended(&fine), fine);
}

#[test]
fn what_is_no_authority_becomes_one() {
    for (bad, good) in BAD {
        assert!(bad.parse::<Authority>().is_err(), "{bad}");
        assert!(good.parse::<Authority>().is_ok(), "{good}");
        for is_huffman in [false, true] {
            let sent = request(bad, is_huffman);
            assert_eq!(mended(&sent), request(good, is_huffman), "{bad}");
        }
    }
}

#[test]
fn what_is_one_stays_and_costs_no_more_looks() {
    for good in GOOD {
        for is_huffman in [false, true] {
            let mut sent = request(good, is_huffman);
            let mut stream = connected(&[&sent]);
            assert_eq!(read(&mut stream, || 1000)[HTTP2.len()..], sent, "{good}");
            assert!(stream.incoming.frames.is_none(), "{good}");
            // So what follows is what was sent, whatever it is.
            sent.extend(request(BAD[0].0, is_huffman));
            assert_eq!(mended(&sent), sent, "{good}");
        }
    }
}

#[test]
fn a_client_that_is_mended_once_is_mended_always() {
    let [bad, good] = [BAD[0].0, BAD[0].1].map(|name| request(name, true));
    let fine = request(GOOD[1], true);
    let data = frame(0, 0, &bad);
    let sent = [&bad[..], &data, &fine, &bad, &bad].concat();
    let expected = [&good[..], &data, &fine, &good, &good].concat();
    assert_eq!(mended(&sent), expected);
}

#[test]
fn padding_and_priority_are_no_part_of_a_block() {
    let block = |name| Encoder::new(true).request(name, "/", "1S");
    for (flags, before, after) in [
        (PADDED, &[7][..], &b"/padded"[..]),
        (PRIORITY, &[0x41, 1, b'/', 0x41, 1], &[]),
        (PADDED | PRIORITY, &[1, 0x41, 1, b'/', 0x41, 1], &[0]),
    ] {
        let [sent, expected] = [BAD[0].0, BAD[0].1]
            .map(|name| frame(HEADERS, flags, &[before, &block(name), after].concat()));
        assert_eq!(mended(&sent), expected, "{flags:#x}");
    }
    for senseless in [&[][..], &[1], &[9, 1, 2], &[0xff; 200]] {
        let sent = frame(HEADERS, PADDED | PRIORITY, senseless);
        assert_eq!(mended(&sent), sent);
    }
}

#[test]
fn what_precedes_the_authority_is_stepped_over() {
    let long = [&[0x44, 0x7f, 0xad, 0x01][..], &[b'/'; 300]].concat();
    let before: &[&[u8]] = &[
        &[0x20],                            // a table of no size
        &[0x2f],                            // one of 15 bytes
        &[0x3f, 0xe1, 0x1f],                // one of 4096 bytes
        &[0xff, 0x00],                      // the field with index 127
        &[0x40, 1, b'a', 1, b'/'],          // a field with a name of its own
        &[0x00, 1, b'a', 1, b'/'],          // the same, not for the table
        &[0x10, 0x82, 0x41, 0x41, 1, b'/'], // the same, never to be, its name in Huffman code
        &[0x1f, 0x08, 1, b'/'],             // a field whose name has index 23
        &long,
    ];
    let all = before.concat();
    for before in before.iter().copied().chain([&all[..]]) {
        // Into the table, not into it, and never.
        for literal in [0x41, 0x01, 0x11] {
            let [sent, expected] = ["http://a", "httpx--a"].map(|name| {
                frame(
                    HEADERS,
                    0x04,
                    &[before, &[literal, 8], name.as_bytes()].concat(),
                )
            });
            assert_eq!(mended(&sent), expected, "{before:x?} {literal:x}");
        }
    }
}

#[test]
fn only_headers_wait_for_their_end() {
    let [data, headers] = [frame(0, 0, &[7; 100]), request(BAD[0].0, true)];
    let mut stream = connected(&[&data[..50]]);
    assert_eq!(read(&mut stream, || 1000)[HTTP2.len()..], data[..50]);
    let rest = [&data[50..], &headers[..headers.len() - 1]].concat();
    stream.stream.chunks.push_back(rest);
    assert_eq!(read(&mut stream, || 1000), data[50..]);
    stream
        .stream
        .chunks
        .push_back(headers[headers.len() - 1..].to_vec());
    assert_eq!(read(&mut stream, || 1000), request(BAD[0].1, true));
}

#[test]
fn what_has_no_end_is_passed_on_at_the_end() {
    let headers = request(BAD[0].0, true);
    for count in 1..headers.len() {
        let mut stream = connected(&[&headers[..count]]);
        stream.stream.ends = true;
        assert_eq!(read(&mut stream, || 1000)[HTTP2.len()..], headers[..count]);
    }
}

/// h2 refuses such a frame when it has seen its length, so it must not be waited for either.
#[test]
fn headers_that_are_too_large_are_passed_on_at_once() {
    let mut sent = frame(HEADERS, 0x04, &[0x82; FRAME_BYTES_MAX + 1]);
    sent.truncate(100);
    assert_eq!(mended(&sent), sent);
    let sent = frame(HEADERS, 0x04, &[0x82; FRAME_BYTES_MAX]);
    assert!(mended(&sent[..100]).is_empty());
    assert_eq!(mended(&sent), sent);
}

/// The requests that hyper's server finds in these bytes, as soon as there are so many.
async fn as_served(sent: &[u8], count: usize) -> Vec<http::request::Parts> {
    let (requests, mut arrived) = tokio::sync::mpsc::channel(count);
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let taken = requests.try_send(request.into_parts().0);
        async move {
            taken.expect("no more than were sent");
            Ok::<_, Infallible>(http::Response::new(tonic::body::Body::empty()))
        }
    });
    // Room for all there is to say, so that nobody waits for the other.
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(sent).await.expect("it fits");
    let protocols = Protocols::new(&Settings::default());
    let io = TokioIo::new(Mended::new(server));
    let mut served = std::pin::pin!(protocols.http2.serve_connection(io, service));
    let mut seen = Vec::new();
    while seen.len() < count {
        tokio::select! {
            ended = served.as_mut() => panic!("after {} requests: {ended:?}", seen.len()),
            request = arrived.recv() => seen.extend(request),
        }
    }
    seen
}

/// h2 itself reads what grpc-go would send: the name once, then a reference to it, and the name
/// again when distinct timeouts have driven it out of the table. All requests arrive whole.
#[tokio::test]
async fn h2_reads_every_request_of_a_long_connection() {
    let (bad, good) = BAD[0];
    let timeouts: Vec<String> = (0..500).map(|number| format!("{number}m")).collect();
    for is_huffman in [false, true] {
        let mut encoder = Encoder::new(is_huffman);
        let mut sent = [&HTTP2[..], SETTINGS].concat();
        for (number, timeout) in (0u32..).zip(&timeouts) {
            let mut headers = frame(HEADERS, 0x05, &encoder.request(bad, "/p", timeout));
            headers[5..9].copy_from_slice(&(2 * number + 1).to_be_bytes());
            sent.extend(headers);
        }
        assert!(encoder.literal_authorities > 3, "it was driven out");
        let served = as_served(&sent, timeouts.len());
        let served = tokio::time::timeout(Duration::from_secs(10), served).await;
        for (request, timeout) in served.expect("in time").iter().zip(&timeouts) {
            let uri = &request.uri;
            assert_eq!(
                (uri.authority().map(Authority::as_str), uri.path()),
                (Some(good), "/p")
            );
            assert_eq!(request.headers["grpc-timeout"], timeout);
        }
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

/// The same in pieces.
fn mended_in_pieces(sent: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut stream = connected(&[]);
    stream.stream.chunks.append(&mut torn(sent, random));
    read(&mut stream, || random.random_range(1..100))[HTTP2.len()..].to_vec()
}

#[test]
fn it_does_not_matter_how_the_bytes_arrive() {
    for seed in 0..500 {
        let mut random = StdRng::seed_from_u64(seed);
        let (bad, good) = BAD[random.random_range(0..BAD.len())];
        let is_huffman = random.random();
        let mut encoders = [bad, good].map(|name| (name, Encoder::new(is_huffman)));
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..random.random_range(1..200) {
            let data: Vec<u8> = (0..random.random_range(0..50))
                .map(|_| random.random())
                .collect();
            let kind = [0, 0, 3, 4, 6, 8][random.random_range(0..6)];
            let timeout = random.random_range(0..1_000_000).to_string();
            let headers = encoders.each_mut().map(|(name, encoder)| {
                frame(
                    HEADERS,
                    0x04,
                    &encoder.request(name, "/etcdserverpb.KV/Put", &timeout),
                )
            });
            let others = frame(kind, 0x0c, &data);
            sent.extend([&headers[0][..], &others].concat());
            expected.extend([&headers[1][..], &others].concat());
        }
        assert_eq!(
            mended_in_pieces(&sent, &mut random),
            expected,
            "seed {seed}"
        );
    }
}

/// Bytes that are likely to mean something, in blocks and as frames.
fn hostile(random: &mut StdRng) -> Vec<u8> {
    const BYTES: &[u8] = &[
        0, 1, 4, 8, 9, 0x20, 0x28, 0x40, 0x41, 0x60, 0x7f, 0x80, 0x81, 0xff,
    ];
    let mut sent = Vec::new();
    for _ in 0..random.random_range(1..20) {
        let mut payload: Vec<u8> = (0..random.random_range(0..40))
            .map(|_| match random.random_range(0..3) {
                0 => random.random(),
                1 => b'/',
                _ => BYTES[random.random_range(0..BYTES.len())],
            })
            .collect();
        if random.random_ratio(1, 3) {
            // A name of any length, which need not be there.
            payload.extend([0x41, random.random()]);
            payload.extend((0..random.random_range(0..200)).map(|_| random.random::<u8>()));
        }
        match random.random_range(0..10) {
            0 => sent.append(&mut payload),
            1 => sent.extend(frame(random.random(), random.random(), &payload)),
            _ => sent.extend(frame(HEADERS, random.random(), &payload)),
        }
    }
    sent
}

/// Neither panics nor waits for ever, whatever comes; and changes bytes of HEADERS frames only,
/// those of a `/`, a `%` or a `:`.
#[test]
fn hostile_bytes_are_passed_on() {
    let mut changed = 0;
    for seed in 0..20_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let sent = hostile(&mut random);
        let mut whole = connected(&[&sent]);
        whole.stream.ends = true;
        let whole = &read(&mut whole, || 64 << 10)[HTTP2.len()..];
        let mut pieces = connected(&[]);
        pieces.stream.chunks.append(&mut torn(&sent, &mut random));
        pieces.stream.ends = true;
        let pieces = &read(&mut pieces, || random.random_range(1..100))[HTTP2.len()..];
        assert_eq!(whole, pieces, "seed {seed}");
        assert_eq!(whole.len(), sent.len(), "seed {seed}");

        let (mut before, mut after) = (&sent[..], whole);
        while let Some((length, kind)) = frame_header(before) {
            let length = length.min(before.len());
            let header = FRAME_HEADER_BYTES;
            let is_same = before[..length] == after[..length];
            assert!(is_same || kind == HEADERS, "seed {seed}");
            assert_eq!(before[..header], after[..header], "seed {seed}");
            changed += usize::from(!is_same);
            (before, after) = (&before[length..], &after[length..]);
        }
        assert_eq!(before, after, "seed {seed}");
    }
    assert!(
        changed > 500,
        "only {changed} were mended: the bytes are not hostile enough"
    );
}
