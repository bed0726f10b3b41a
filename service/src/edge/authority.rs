//! Removal of `:authority` from HTTP/2 requests, before h2 reads them.
//!
//! Clients of etcd send many kinds of values there. Go's clientv3 3.5.0 sends
//! `#initially=[127.0.0.1:2379]`, `etcdctl` 3.4 a URL, grpc-java the path of a Unix socket (its
//! issue 12664), gRPC's C core that path percent-encoded (grpc/grpc, issue 38142). etcd accepts all
//! of them. h2 resets a request whose authority it cannot parse, or ends the connection, before any
//! code of ours sees the request, and has no setting for it (hyperium/h2, pull request 487).
//!
//! No code in this server uses an authority, and HTTP/2 does not require one. So it is removed from
//! the bytes that h2 is about to read, on every connection, whatever its value and encoding are
//! ([`block`]). Values are not examined, so no value can be rejected, and ordinary clients use the
//! same path as odd ones.
//!
//! # Frames
//!
//! A header block comes in a HEADERS frame and in CONTINUATION frames after it. It is held back
//! until it is complete and then passed on as one frame where it fits, without padding and
//! priority. All other frames are passed on unchanged, without waiting for their end.
//!
//! Violations of HTTP/2 or HPACK are left for h2 to answer. Where its answer would depend on what
//! was removed, it gets a block that is certainly invalid, and ends the connection as it should.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::net::preface::HTTP2;
use crate::net::read_through::{Incoming, ReadThrough};

mod block;
#[cfg(test)]
mod tests;

use block::Blocks;

/// The header of a frame (RFC 9113, section 4.1).
const FRAME_HEADER_BYTES: usize = 9;
/// Bytes of a frame's payload, unless a server allows more. This server does not.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// The types of frames that carry blocks.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// Flag: no more frames of this stream follow but CONTINUATION.
const END_STREAM: u8 = 0x01;
/// Flag: the block ends here.
const END_HEADERS: u8 = 0x04;
/// Flag: the block is followed by padding, and preceded by a byte with the length of the padding.
const PADDED: u8 = 0x08;
/// Flag: the block is preceded by a priority.
const PRIORITY: u8 = 0x20;
const PRIORITY_BYTES: usize = 5;

/// A block that HPACK does not allow: the field with index 0.
const INVALID_BLOCK: u8 = 0x80;

/// Limit of a block's frames in bytes. h2 refuses a request whose decoded headers are larger than a
/// quarter of this, so a much larger block is not worth holding.
const BLOCK_BYTES_MAX: usize = 64 << 10;

/// Capacity of the buffers that an idle connection keeps.
const KEPT_BYTES: usize = 1 << 10;

/// An HTTP/2 connection, from its preface on, that reads without authorities.
pub(super) type WithoutAuthority<S> = ReadThrough<S, Requests>;

/// The bytes read from a client, and the output made of them.
#[derive(Debug)]
pub(super) struct Requests {
    /// The beginning of a frame that is not completely read: of its header, or of a whole frame
    /// that carries a block.
    held: Vec<u8>,
    /// The output; the bytes from `passed` on are still to be passed on.
    output: Vec<u8>,
    passed: usize,
    /// Number of bytes to come that are passed on unchanged.
    passing: usize,
    /// A block whose end has not been read.
    open: Option<OpenBlock>,
    blocks: Blocks,
}

#[derive(Debug)]
struct OpenBlock {
    /// The header of its HEADERS frame.
    head: Head,
    fragments: Vec<u8>,
    /// Bytes of its frames, their headers included, so that empty frames have a bound too.
    size: usize,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: [u8; 4],
}

/// The kind of a frame, given its header and the frames before it.
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// A part of a block.
    Fragment,
    /// Any other frame.
    Other,
    /// A frame that HTTP/2 does not allow here.
    Forbidden,
}

impl<S> WithoutAuthority<S> {
    pub(super) fn new(stream: S) -> WithoutAuthority<S> {
        let incoming = Requests {
            held: Vec::new(),
            output: Vec::new(),
            passed: 0,
            passing: HTTP2.len(),
            open: None,
            blocks: Blocks::default(),
        };
        ReadThrough { stream, incoming }
    }
}

impl Head {
    /// The header at the beginning of `bytes`, if all of it is there.
    fn parse(bytes: &[u8]) -> Option<Head> {
        let &[high, middle, low, kind, flags, ref stream @ ..] =
            bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        Some(Head {
            length: u32::from_be_bytes([0, high, middle, low]) as usize,
            kind,
            flags,
            stream: *stream,
        })
    }

    fn bytes(&self) -> [u8; FRAME_HEADER_BYTES] {
        let [_, high, middle, low] = (self.length as u32).to_be_bytes();
        let [first, second, third, fourth] = self.stream;
        [
            high, middle, low, self.kind, self.flags, first, second, third, fourth,
        ]
    }
}

impl Requests {
    /// Processes bytes that were read.
    fn take(&mut self, read: &[u8]) {
        if self.held.is_empty() {
            let taken = self.take_frames(read);
            self.held.extend_from_slice(&read[taken..]);
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(read);
        let taken = self.take_frames(&held);
        held.drain(..taken);
        held.shrink_to(KEPT_BYTES);
        self.held = held;
    }

    /// Processes the frames that are complete enough; returns their number of bytes.
    fn take_frames(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let passing = self.passing.min(rest.len());
            self.output.extend_from_slice(&rest[..passing]);
            self.passing -= passing;
            at += passing;
            let Some(head) = Head::parse(&rest[passing..]) else {
                return at;
            };
            let length = FRAME_HEADER_BYTES + head.length;
            match self.judge(head) {
                Frame::Fragment => {
                    let Some(frame) = rest[passing..].get(..length) else {
                        return at;
                    };
                    self.take_fragment(head, &frame[FRAME_HEADER_BYTES..]);
                    at += length;
                }
                Frame::Other => self.passing = length,
                Frame::Forbidden => self.give_up(),
            }
        }
    }

    fn judge(&self, head: Head) -> Frame {
        let is_expected = match (&self.open, head.kind) {
            (None, CONTINUATION) => false,
            (None, HEADERS) => true,
            (None, _) => return Frame::Other,
            (Some(open), kind) => kind == CONTINUATION && head.stream == open.head.stream,
        };
        match is_expected && head.length <= FRAME_BYTES_MAX {
            true => Frame::Fragment,
            false => Frame::Forbidden,
        }
    }

    /// Processes the payload of a frame that carries a part of a block.
    fn take_fragment(&mut self, head: Head, payload: &[u8]) {
        let Some(mut open) = self.open.take() else {
            match block_of(head, payload) {
                None => self.refuse(head),
                Some(block) if head.flags & END_HEADERS != 0 => self.pass_on(head, block),
                Some(block) => {
                    self.open = Some(OpenBlock {
                        head,
                        fragments: block.to_vec(),
                        size: payload.len(),
                    });
                }
            }
            return;
        };
        open.fragments.extend_from_slice(payload);
        open.size += FRAME_HEADER_BYTES + payload.len();
        if head.flags & END_HEADERS != 0 {
            self.pass_on(open.head, &open.fragments);
        } else if open.size > BLOCK_BYTES_MAX {
            self.refuse(open.head);
        } else {
            self.open = Some(open);
        }
    }

    /// Passes on a block without its authorities.
    fn pass_on(&mut self, head: Head, block: &[u8]) {
        let mut frame = Head {
            kind: HEADERS,
            flags: head.flags & END_STREAM | END_HEADERS,
            ..head
        };
        let start = self.output.len();
        // Its length is not known yet.
        self.output.extend_from_slice(&frame.bytes());
        let written = self.blocks.without_authority(block, &mut self.output);
        if written.is_none() {
            self.output.truncate(start);
            return self.refuse(head);
        }
        let payload = start + FRAME_HEADER_BYTES;
        frame.length = self.output.len() - payload;
        if frame.length <= FRAME_BYTES_MAX {
            self.output[start..payload].copy_from_slice(&frame.bytes());
            return;
        }
        let block = self.output.split_off(payload);
        self.output.truncate(start);
        frame.flags &= !END_HEADERS;
        let mut fragments = block.chunks(FRAME_BYTES_MAX).peekable();
        while let Some(fragment) = fragments.next() {
            frame.length = fragment.len();
            if fragments.peek().is_none() {
                frame.flags |= END_HEADERS;
            }
            self.output.extend_from_slice(&frame.bytes());
            self.output.extend_from_slice(fragment);
            frame.kind = CONTINUATION;
            frame.flags = 0;
        }
    }

    /// Passes on a block that makes h2 end the connection, in place of one that should.
    fn refuse(&mut self, head: Head) {
        let frame = Head {
            length: 1,
            kind: HEADERS,
            flags: END_HEADERS,
            ..head
        };
        self.output.extend_from_slice(&frame.bytes());
        self.output.push(INVALID_BLOCK);
        self.passing = usize::MAX;
    }

    /// Passes on everything from here on, beginning with a frame for which h2 ends the connection.
    fn give_up(&mut self) {
        if let Some(open) = self.open.take() {
            // A frame of another type, which makes h2 expect a continuation that does not come.
            let frame = Head {
                length: 0,
                flags: 0,
                ..open.head
            };
            self.output.extend_from_slice(&frame.bytes());
        }
        self.passing = usize::MAX;
    }

    /// Returns true if all bytes read are to be passed on unchanged, with no other bytes before
    /// them.
    fn passes(&mut self, count: usize) -> bool {
        let passes = self.held.is_empty() && self.passing >= count;
        if passes {
            self.passing -= count;
        }
        passes
    }

    /// Passes on as many bytes as fit. False if there are none.
    fn pass(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = &self.output[self.passed..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.passed += count;
        if self.passed == self.output.len() {
            self.output.clear();
            self.output.shrink_to(KEPT_BYTES);
            self.passed = 0;
        }
        count > 0
    }
}

/// The part of a block in a HEADERS frame. `None` if its padding is longer than the frame.
fn block_of(head: Head, payload: &[u8]) -> Option<&[u8]> {
    let mut start = 0;
    let mut end = payload.len();
    if head.flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*payload.first()?))?;
        start += 1;
    }
    if head.flags & PRIORITY != 0 {
        start += PRIORITY_BYTES;
    }
    payload.get(start..end)
}

impl Incoming for Requests {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        mut stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while !self.pass(buffer) {
            // Read into the caller's buffer: its size suits the caller, and what is passed on as it
            // is stays there.
            let filled = buffer.filled().len();
            ready!(stream.as_mut().poll_read(cx, buffer))?;
            let read = &buffer.filled()[filled..];
            // At the end of the stream, an incomplete frame has no meaning.
            if read.is_empty() || self.passes(read.len()) {
                break;
            }
            self.take(read);
            buffer.set_filled(filled);
        }
        Poll::Ready(Ok(()))
    }
}
