//! Snapshots: transfer of a checkpoint's files from one member's disk to another's.
//!
//! A transfer is one call of `Peer.Snapshot`: a start that announces the files, the files in order
//! and in pieces with a checksum each, an end with the totals. It has its own connection. It is
//! never resumed: raft requests a new one after a failure, and by then there is a newer state to
//! send.
//!
//! The sender ([`send`]) reads one piece at a time outside the runtime, limits its rate, and waits
//! for the report. The receiver ([`Receiver`]) refuses a snapshot it cannot use before any data is
//! sent, has a thread write the files and sync them as they grow ([`write`]), and gives the folder
//! to raft. It reports success only once the snapshot is installed.
//!
//! The raft message that announces the snapshot travels inside the start, and reaches raft together
//! with the files. So raft never accepts a snapshot whose files are missing.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;

use conclave_proto::peer::snapshot_chunk::Chunk;
use conclave_proto::peer::snapshot_report::Outcome;
use conclave_proto::peer::{
    SnapshotChunk, SnapshotData, SnapshotEnd, SnapshotFile, SnapshotReport, SnapshotStart,
};
use conclave_storage::MemberId;
use conclave_storage::layout::FORMAT_VERSION;

use super::dial::{DialError, Dialling};
use super::link::SnapshotTurn;
use super::{Common, reason};
use conclave_core::clock::Moment;
use conclave_core::peers::{Inbox, PeerEvent, SnapshotFiles};

mod receive;
mod write;

pub(super) use receive::Receiver;

/// Size of a piece in bytes: large enough that its overhead is negligible, and small enough not to
/// delay raft's messages, which share the runtime and the network.
const PIECE_BYTES: usize = 256 << 10;

/// How much lost time a delayed transfer catches up on at full speed. More would be a burst.
const LATE_MAX: Duration = Duration::from_millis(20);

/// Limit of pieces read ahead of the network, and received ahead of the disk.
const PIECES_AHEAD: usize = 4;

/// How long the receiver may accept no data before the transfer fails. Its process may be alive and
/// its disk slow.
const STALL_MAX: Duration = Duration::from_secs(60);

/// How long the receiver may be silent, ping answers included, before the connection ends. The
/// answers wait behind some 10 MiB in flight. After the last piece this is the only sign of a
/// receiver that has lost its power.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Timeout from the last piece to the receiver's report: it syncs the rest and opens the new state.
const REPORT_MAX: Duration = Duration::from_secs(300);

/// Notifies the driver of a snapshot's outcome exactly once, on every code path.
pub(super) struct Sending {
    inbox: Inbox,
    to: MemberId,
    arrived: bool,
}

impl Sending {
    pub(super) fn new(inbox: Inbox, to: MemberId) -> Sending {
        Sending {
            inbox,
            to,
            arrived: false,
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.inbox.deliver(PeerEvent::SnapshotSent {
            to: self.to,
            arrived: self.arrived,
        });
    }
}

/// The reason why a snapshot did not arrive.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{}", reason(.0))]
    Call(#[from] tonic::Status),
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
    #[error("the other end accepted no data for {STALL_MAX:?}")]
    Stalled,
    #[error("the other end sent no report for {REPORT_MAX:?}")]
    NoReport,
    #[error("the member has no URL")]
    NoUrl,
}

/// Sends a snapshot and reports the outcome through `sending`.
pub(super) async fn send(
    common: &Common,
    turn: &SnapshotTurn,
    mut sending: Sending,
    raft_message: Bytes,
    files: Arc<SnapshotFiles>,
) {
    let member = sending.to.to_string();
    let (index, size_bytes) = (files.index.0, total(&files));
    tracing::info!(member, index, size_bytes, "sending a snapshot");
    let started = common.clock.now();
    let counted = turn.stats().sending.begin();
    match transfer(common, turn, sending.to, raft_message, files).await {
        Ok(report) => {
            let (outcome, detail) = (report.outcome(), report.detail);
            match outcome {
                Outcome::Received => counted.succeeded(),
                Outcome::Outdated => {}
                Outcome::Busy
                | Outcome::Corrupt
                | Outcome::Foreign
                | Outcome::NotInstalled
                | Outcome::Unspecified => counted.failed(),
            }
            sending.arrived = matches!(outcome, Outcome::Received | Outcome::Outdated);
            let took = common.clock.now().since(started);
            tracing::info!(
                member,
                index,
                ?outcome,
                detail,
                ?took,
                "a snapshot was sent"
            );
        }
        Err(error) => {
            counted.failed();
            let reason = error.to_string();
            tracing::warn!(member, index, reason, "a snapshot could not be sent");
        }
    }
}

fn total(files: &SnapshotFiles) -> u64 {
    files.files.iter().map(|(_, size_bytes)| size_bytes).sum()
}

async fn transfer(
    common: &Common,
    turn: &SnapshotTurn,
    to: MemberId,
    raft_message: Bytes,
    files: Arc<SnapshotFiles>,
) -> Result<SnapshotReport, SendError> {
    let dialling = Dialling::of(common).patiently(SILENCE_MAX);
    let mut dialled = Err(SendError::NoUrl);
    for url in &turn.urls() {
        dialled = dialling.dial(url).await.map_err(SendError::Dial);
        if dialled.is_ok() {
            break;
        }
    }
    let connection = dialled?;
    let mut client = connection.client();
    let (chunks, ahead) = mpsc::channel(PIECES_AHEAD);
    let start = SnapshotStart {
        hello: Some(common.settings.identity().hello(to)),
        raft_message,
        index: files.index.0,
        term: files.term.0,
        format_version: FORMAT_VERSION,
        files: files.files.iter().map(announced).collect(),
    };
    let call = async move {
        let report = client.snapshot(ReceiverStream::new(ahead)).await?;
        Ok(report.into_inner())
    };
    let feed = async move {
        put(&chunks, Chunk::Start(start)).await?;
        feed(common, turn, &files, &chunks).await?;
        drop(chunks);
        tokio::time::sleep(REPORT_MAX).await;
        Err(SendError::NoReport)
    };
    // The report may come before the end of the data, if the receiver has no use for the snapshot.
    tokio::select! {
        biased;
        report = call => report,
        error = feed => error,
    }
}

fn announced((name, size_bytes): &(String, u64)) -> SnapshotFile {
    SnapshotFile {
        name: name.clone(),
        size_bytes: *size_bytes,
    }
}

/// Feeds the data of every file, and the end, to the call.
async fn feed(
    common: &Common,
    turn: &SnapshotTurn,
    files: &SnapshotFiles,
    chunks: &mpsc::Sender<SnapshotChunk>,
) -> Result<(), SendError> {
    let mut pace = Pace::new(common);
    let mut crc = 0;
    for (number, (name, size_bytes)) in (0..).zip(&files.files) {
        let path = files.dir.join(name);
        let mut file = spawn_blocking(move || File::open(path))
            .await
            .map_err(joined)??;
        let mut offset_bytes = 0;
        while offset_bytes < *size_bytes {
            let wanted = (size_bytes - offset_bytes).min(PIECE_BYTES as u64);
            let (rest, piece) = spawn_blocking(move || read_piece(file, wanted))
                .await
                .map_err(joined)??;
            file = rest;
            crc = crc32c::crc32c_append(crc, &piece);
            let piece_bytes = piece.len() as u64;
            let data = SnapshotData {
                file: number,
                offset_bytes,
                crc32c: crc32c::crc32c(&piece),
                data: piece,
            };
            put(chunks, Chunk::Data(data)).await?;
            turn.stats().sent_bytes.inc_by(piece_bytes);
            offset_bytes += piece_bytes;
            pace.keep(piece_bytes).await;
        }
    }
    let end = SnapshotEnd {
        size_bytes: total(files),
        crc32c: crc,
    };
    put(chunks, Chunk::End(end)).await
}

/// The error of a read task that panicked, or that the ending runtime dropped.
fn joined(error: tokio::task::JoinError) -> io::Error {
    io::Error::other(error)
}

/// Reads exactly this many bytes of a file. Fewer are an error, since the file must not change.
fn read_piece(mut file: File, size_bytes: u64) -> io::Result<(File, Bytes)> {
    let mut piece = vec![0; usize::try_from(size_bytes).unwrap_or(PIECE_BYTES)];
    file.read_exact(&mut piece)?;
    Ok((file, piece.into()))
}

async fn put(chunks: &mpsc::Sender<SnapshotChunk>, chunk: Chunk) -> Result<(), SendError> {
    let chunk = SnapshotChunk { chunk: Some(chunk) };
    match tokio::time::timeout(STALL_MAX, chunks.send(chunk)).await {
        Ok(Ok(())) => Ok(()),
        // The call has ended; the caller, which waits for it concurrently, gets its error.
        Ok(Err(_closed)) => std::future::pending().await,
        Err(_elapsed) => Err(SendError::Stalled),
    }
}

/// Limits the rate: waits until the bytes sent so far are due.
struct Pace<'a> {
    common: &'a Common,
    /// Start of the transfer, moved forward by lost time that is not caught up on.
    started: Moment,
    sent_bytes: u64,
}

impl<'a> Pace<'a> {
    fn new(common: &'a Common) -> Pace<'a> {
        Pace {
            common,
            started: common.clock.now(),
            sent_bytes: 0,
        }
    }

    async fn keep(&mut self, piece_bytes: u64) {
        self.sent_bytes = self.sent_bytes.saturating_add(piece_bytes);
        let rate = self.common.settings.snapshot_bytes_per_second.max(1);
        let due_ms = u128::from(self.sent_bytes) * 1_000 / u128::from(rate);
        let due_ms = u64::try_from(due_ms).unwrap_or(u64::MAX);
        let due = self.started.after(Duration::from_millis(due_ms));
        let now = self.common.clock.now();
        let lost = now.since(due).saturating_sub(LATE_MAX);
        self.started = self.started.after(lost);
        let wait = due.since(now);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}
