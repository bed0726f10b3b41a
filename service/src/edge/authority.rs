//! Authorities that are no authorities, on HTTP/2.
//!
//! Some clients name the server as they were told of it rather than as HTTP wants it named.
//! `etcdctl` 3.4 (grpc-go of that time) does for the commands that go to one endpoint each, such as
//! `endpoint status`: given `--endpoints=http://127.0.0.1:2379`, it sends all of that as the
//! `:authority` of its requests. For a Unix socket it sends the path, as grpc-java does (its issue
//! 12664); gRPC's C core sends the path percent-encoded (grpc/grpc, issue 38142). etcd does not
//! mind. h2 does: it resets such a stream before anybody else sees the request, and has no setting
//! for it (hyperium/h2, pull request 487).
//!
//! So they are mended in the bytes h2 is about to read ([`block`]). Nobody here reads an authority,
//! and each character is replaced by one whose Huffman code is as long. So the frame stays as long
//! as it was, and so does the entry in HPACK's dynamic table, which later requests refer to. An
//! empty name cannot be mended so, and is refused as before.
//!
//! # What it costs
//!
//! The first request of a connection tells: a client that names the server well once does so
//! always, since the name is the connection's. From then on a read is passed on as it is. On the
//! other connections all HEADERS frames are looked at, for as long as they last: a client sends
//! the name again when other headers (grpc-go's timeouts) have driven it out of the table.
//!
//! A HEADERS frame is held back until it is complete; nothing else is. Whatever looks odd is passed
//! on untouched, for h2 to judge: a frame larger than we allow, a block that does not parse. So is
//! what of a block is in CONTINUATION frames. Clients send pseudo-headers first, so that would be
//! an authority of 16 KiB.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::incoming::{Incoming, ReadThrough};
use super::preface::HTTP2;

mod block;
#[cfg(test)]
mod tests;

/// The header of a frame (RFC 9113, section 4.1).
const FRAME_HEADER_BYTES: usize = 9;
/// What a frame may carry unless we say otherwise, which we do not.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// The type of a HEADERS frame.
const HEADERS: u8 = 1;
/// Flag: the block is followed by padding, and preceded by a byte that says by how much.
const PADDED: u8 = 0x08;
/// Flag: the block is preceded by a priority.
const PRIORITY: u8 = 0x20;
/// The size of that priority.
const PRIORITY_BYTES: usize = 5;

/// An HTTP/2 connection, from its preface on, that reads as if its client named us well.
pub(super) type Mended<S> = ReadThrough<S, Names>;

/// What is known of how its client names us.
#[derive(Debug)]
pub(super) struct Names {
    /// Gone once the client is known to need no mending.
    frames: Option<Box<Frames>>,
}

/// The frames of a connection, as far as they are here.
#[derive(Debug)]
struct Frames {
    bytes: Vec<u8>,
    /// How many of `bytes` may be passed on.
    ready: usize,
    /// How many of those that follow are of a frame that may be passed on.
    passing: usize,
    client: Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Has sent no request yet.
    Unknown,
    /// Names us well.
    Fine,
    /// Does not.
    Mended,
}

impl<S> Mended<S> {
    pub(super) fn new(stream: S) -> Mended<S> {
        let frames = Some(Box::default());
        let incoming = Names { frames };
        ReadThrough { stream, incoming }
    }
}

impl Default for Frames {
    fn default() -> Frames {
        Frames {
            bytes: Vec::new(),
            ready: 0,
            passing: HTTP2.len(),
            client: Client::Unknown,
        }
    }
}

impl Frames {
    /// Takes what was read, and looks at the frames it completes.
    fn take(&mut self, read: &[u8]) {
        self.bytes.extend_from_slice(read);
        loop {
            let new = &mut self.bytes[self.ready..];
            if self.client == Client::Fine {
                self.passing = new.len();
            }
            let passed = self.passing.min(new.len());
            self.ready += passed;
            self.passing -= passed;
            let new = &mut new[passed..];
            let Some((length, kind)) = frame_header(new) else {
                return;
            };
            if kind == HEADERS && length <= FRAME_HEADER_BYTES + FRAME_BYTES_MAX {
                let Some(frame) = new.get_mut(..length) else {
                    return;
                };
                self.client = match (block_of(frame).is_some_and(block::mend), self.client) {
                    (false, Client::Unknown) => Client::Fine,
                    (false, known) => known,
                    (true, _) => Client::Mended,
                };
            }
            self.passing = length;
        }
    }

    /// There is no more to come, so there is nothing to wait for.
    fn end(&mut self) {
        self.ready = self.bytes.len();
    }

    /// Passes on what may be, as much as fits. False if there is nothing.
    fn pass(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let count = self.ready.min(buffer.remaining());
        buffer.put_slice(&self.bytes[..count]);
        self.bytes.drain(..count);
        self.ready -= count;
        count > 0
    }

    fn is_over(&self) -> bool {
        self.client == Client::Fine && self.bytes.is_empty()
    }
}

/// The length, with the header, and the type of the frame at the beginning of `bytes`.
fn frame_header(bytes: &[u8]) -> Option<(usize, u8)> {
    let &[high, middle, low, kind] = bytes.get(..FRAME_HEADER_BYTES)?.first_chunk()?;
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    Some((FRAME_HEADER_BYTES + length, kind))
}

/// The block of headers in a HEADERS frame.
fn block_of(frame: &mut [u8]) -> Option<&mut [u8]> {
    let flags = frame[4];
    let mut start = FRAME_HEADER_BYTES;
    let mut end = frame.len();
    if flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*frame.get(start)?))?;
        start += 1;
    }
    if flags & PRIORITY != 0 {
        start += PRIORITY_BYTES;
    }
    frame.get_mut(start..end)
}

impl Names {
    /// A read while `frames` are there.
    #[cold]
    fn poll_frames<S: AsyncRead + Unpin>(
        &mut self,
        mut stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(frames) = self
            .frames
            .as_deref_mut()
            .filter(|_| buffer.remaining() > 0)
        else {
            return Poll::Ready(Ok(()));
        };
        while !frames.pass(buffer) {
            // Its buffer is a good place to read into, and of a size it has chosen.
            let filled = buffer.filled().len();
            ready!(stream.as_mut().poll_read(cx, buffer))?;
            let read = &buffer.filled()[filled..];
            if !read.is_empty() {
                frames.take(read);
                buffer.set_filled(filled);
            } else if frames.bytes.is_empty() {
                break;
            } else {
                frames.end();
            }
        }
        if frames.is_over() {
            self.frames = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl Incoming for Names {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.frames.is_none() {
            return stream.poll_read(cx, buffer);
        }
        self.poll_frames(stream, cx, buffer)
    }
}
