//! HTTP/2 and HTTP/1.1 built from an input: complete or broken frames, in order or not, and headers
//! in every representation of HPACK.

use crate::source::Source;

/// The preface of an HTTP/2 client, and an empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Limit of frames per connection.
const FRAMES_MAX: u8 = 12;

/// Frame types.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// Header names with their index in HPACK's static table.
const NAMES: &[(&str, u8)] = &[
    (":authority", 1),
    (":method", 2),
    (":path", 4),
    (":scheme", 6),
    (":status", 8),
    ("content-length", 28),
    ("content-type", 31),
    ("host", 38),
    ("te", 57),
    ("grpc-timeout", 0),
    ("grpc-encoding", 0),
    ("connection", 0),
    ("hasleader", 0),
    ("", 0),
];

/// Values that a gRPC server interprets.
const VALUES: &[&str] = &[
    "POST",
    "GET",
    "http",
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.Watch/Watch",
    "/health",
    "/metrics",
    "application/grpc",
    "trailers",
    "localhost:2379",
    "http://localhost:2379",
    "#initially=[localhost:2379]",
    "/run/etcd.sock",
    "unix:/run/etcd.sock",
    "gzip",
    "1S",
    "99999999H",
    "true",
    "5",
    "",
];

/// The headers of a valid call, for HPACK without Huffman coding.
const CALL: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/etcdserverpb.KV/Range"),
    (":authority", "localhost:2379"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
];

/// A range of one key, framed for gRPC.
const RANGE: &[u8] = b"\0\0\0\0\x03\x0a\x01a";

/// A complete HTTP/2 connection.
pub fn http2(source: &mut Source) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    for number in 0..FRAMES_MAX {
        if source.is_empty() {
            break;
        }
        let stream = match source.byte() {
            choice @ 0..=249 => u32::from(number | 1) + u32::from(choice & 2),
            250.. => source.number() as u32,
        };
        match source.byte() {
            0..=119 => headers(source, stream, &mut out),
            120..=179 => data(source, stream, &mut out),
            kind => {
                let (kind, flags) = (kind % 11, source.byte());
                let payload = source.piece();
                frame(kind, flags, stream, &payload, &mut out);
            }
        }
    }
    // The rest of the input may end in the middle of a frame.
    out.extend_from_slice(&source.rest());
    out
}

/// Request lines and headers of HTTP/1.1 requests, one after another.
pub fn http1(source: &mut Source) -> Vec<u8> {
    let mut out = Vec::new();
    let methods: &[&str] = &["GET", "POST", "PRI", "HEAD", "OPTIONS", "\0"];
    let paths: &[&str] = &[
        "/health",
        "/readyz?verbose",
        "/readyz?exclude=",
        "/metrics",
        "/version",
        "/livez/serializable_read",
        "/v3/kv/range",
        "/etcdserverpb.KV/Range",
        "*",
        "",
    ];
    while !source.is_empty() {
        out.extend_from_slice(source.pick(methods).as_bytes());
        out.push(b' ');
        out.extend_from_slice(source.pick(paths).as_bytes());
        if source.flag() {
            out.extend_from_slice(&source.piece());
        }
        out.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\n");
        for _ in 0..source.below(4) {
            out.extend_from_slice(source.pick(NAMES).0.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value(source).as_slice());
            out.extend_from_slice(b"\r\n");
        }
        if source.flag() {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            out.extend_from_slice(&source.piece());
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

fn headers(source: &mut Source, stream: u32, out: &mut Vec<u8>) {
    let shape = source.byte();
    let mut block = Vec::new();
    if shape & 1 == 0 {
        for &(name, value) in CALL {
            let replaced = shape >= 128 && name == ":authority";
            if replaced {
                field(source, &mut block, Some(name));
            } else {
                literal(name.as_bytes(), value.as_bytes(), 0, &mut block);
            }
        }
    }
    for _ in 0..(shape >> 1 & 3) {
        field(source, &mut block, None);
    }
    let mut flags = END_HEADERS | (shape >> 3 & END_STREAM);
    let mut payload = Vec::new();
    if shape & 16 != 0 && source.rarely() {
        flags |= PADDED | PRIORITY;
        let padding = source.byte();
        payload.push(padding);
        payload.extend_from_slice(&source.number().to_be_bytes()[..5]);
        payload.extend_from_slice(&block);
        payload.resize(payload.len() + usize::from(padding), 0);
    } else {
        payload = block;
    }
    if shape & 32 == 0 {
        return frame(HEADERS, flags, stream, &payload, out);
    }
    // Split into two frames at any byte, also in the middle of a field.
    let cut = usize::from(source.byte()).min(payload.len());
    frame(HEADERS, flags & !END_HEADERS, stream, &payload[..cut], out);
    frame(CONTINUATION, END_HEADERS, stream, &payload[cut..], out);
}

/// Encodes one header in one of HPACK's representations.
fn field(source: &mut Source, block: &mut Vec<u8>, name: Option<&str>) {
    let (known, index) = match name {
        Some(name) => *NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or(&("", 0)),
        None => source.pick(NAMES),
    };
    let form = source.byte();
    if form >= 240 {
        // An index into a table, or a change of the dynamic table's size.
        return block.push(source.byte());
    }
    let kind = [0x00, 0x10, 0x40][usize::from(form % 3)];
    let value = value(source);
    if index != 0 && form & 8 == 0 && index < 15 {
        block.push(kind | index);
        text(&value, form & 4 != 0, block);
    } else if form & 16 == 0 {
        block.push(kind);
        text(known.as_bytes(), false, block);
        text(&value, form & 4 != 0, block);
    } else {
        block.push(kind);
        text(&source.piece(), form & 32 != 0, block);
        text(&value, form & 4 != 0, block);
    }
}

fn literal(name: &[u8], value: &[u8], kind: u8, block: &mut Vec<u8>) {
    block.push(kind);
    text(name, false, block);
    text(value, false, block);
}

/// Encodes a string with its length. `huffman` sets the flag of Huffman coding, although the text
/// is not coded.
fn text(text: &[u8], huffman: bool, block: &mut Vec<u8>) {
    let flag = u8::from(huffman) << 7;
    match text.len() {
        short @ 0..=126 => block.push(flag | short as u8),
        long => {
            block.push(flag | 127);
            let mut rest = long - 127;
            while rest >= 128 {
                block.push(rest as u8 | 128);
                rest >>= 7;
            }
            block.push(rest as u8);
        }
    }
    block.extend_from_slice(text);
}

fn value(source: &mut Source) -> Vec<u8> {
    match source.byte() {
        200.. => source.piece().to_vec(),
        choice => VALUES[usize::from(choice) % VALUES.len()]
            .as_bytes()
            .to_vec(),
    }
}

fn data(source: &mut Source, stream: u32, out: &mut Vec<u8>) {
    let flags = source.byte() & (END_STREAM | PADDED);
    let payload = match source.byte() {
        0..=127 => RANGE.to_vec(),
        _ => source.piece().to_vec(),
    };
    frame(DATA, flags, stream, &payload, out);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len() as u32;
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
