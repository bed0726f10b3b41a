//! The receiving side of a transfer: refusals, and the ownership of the folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, io};

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use conclave_proto::peer::snapshot_chunk::Chunk;
use conclave_proto::peer::snapshot_report::Outcome;
use conclave_proto::peer::{SnapshotChunk, SnapshotReport, SnapshotStart};
use conclave_storage::layout::{FORMAT_VERSION, OLDEST_FORMAT};
use conclave_storage::{Index, MemberId, Term};

use super::PIECES_AHEAD;
use super::write::{WriteError, Writer};
use crate::metrics::OfPeer;
use crate::peer::{Common, reason};
use conclave_core::peers::{PeerEvent, ReceivedSnapshot};

/// Limit of files in a snapshot. A checkpoint has one per 64 MiB or so, and a few more.
const FILES_MAX: usize = 100_000;

/// Timeout of the next piece. A sender that hangs must not keep this member from receiving another
/// leader's snapshot.
const PIECE_MAX: Duration = Duration::from_secs(10);

/// Prefix of a received snapshot's folder. The snapshot's index follows, and a random number: the
/// same snapshot may be sent again while the first copy is being installed.
const FOLDER: &str = "state.";

/// Receives snapshots, one at a time.
#[derive(Debug)]
pub(in crate::peer) struct Receiver {
    dir: PathBuf,
    is_busy: Arc<AtomicBool>,
}

/// The right to receive a snapshot.
struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The folder of a snapshot; removed unless it was installed.
struct Folder {
    dir: PathBuf,
    is_ours: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_ours {
            remove(&self.dir);
        }
    }
}

/// A report to the sender.
fn report(outcome: Outcome, detail: impl Into<String>) -> SnapshotReport {
    SnapshotReport {
        outcome: outcome.into(),
        applied_index: 0,
        detail: detail.into(),
    }
}

impl Receiver {
    pub(in crate::peer) fn new(dir: PathBuf) -> Receiver {
        Receiver {
            dir,
            is_busy: Arc::default(),
        }
    }

    /// Receives a snapshot whose start has been read and whose sender has been checked, with the
    /// sender's metrics, if there are any.
    pub(in crate::peer) async fn receive(
        &self,
        common: &Common,
        (from, stats): (MemberId, Option<&OfPeer>),
        start: SnapshotStart,
        chunks: Streaming<SnapshotChunk>,
    ) -> SnapshotReport {
        let (member, index) = (from.to_string(), start.index);
        let counted = stats.map(|stats| stats.receiving.begin());
        let mut report = self.take_in(common, stats, start, chunks).await;
        report.applied_index = (common.applied)().0;
        let (outcome, detail) = (report.outcome(), &report.detail);
        match outcome {
            Outcome::Received => {
                counted.as_ref().inspect(|counted| counted.succeeded());
                tracing::info!(member, index, "a snapshot was received");
            }
            Outcome::Outdated | Outcome::Busy => {
                tracing::info!(member, index, ?outcome, "a snapshot was declined");
            }
            Outcome::Corrupt | Outcome::Foreign | Outcome::NotInstalled | Outcome::Unspecified => {
                counted.as_ref().inspect(|counted| counted.failed());
                tracing::warn!(
                    member,
                    index,
                    ?outcome,
                    detail,
                    "a snapshot was not received"
                );
            }
        }
        report
    }

    async fn take_in(
        &self,
        common: &Common,
        stats: Option<&OfPeer>,
        start: SnapshotStart,
        chunks: Streaming<SnapshotChunk>,
    ) -> SnapshotReport {
        if let Some(declined) = decline(&start, (common.applied)()) {
            return declined;
        }
        if self.is_busy.swap(true, Ordering::AcqRel) {
            return report(Outcome::Busy, "");
        }
        let _turn = Turn(Arc::clone(&self.is_busy));
        let (index, by_chance) = (start.index, rand::random::<u64>());
        let mut folder = Folder {
            dir: self.dir.join(format!("{FOLDER}{index}.{by_chance:x}")),
            is_ours: true,
        };
        if let Err(error) = write(&folder.dir, &start, chunks, stats, &common.stopping).await {
            let detail = error.to_string();
            let outcome = error.outcome();
            if let WriteError::Sync(fault) = error {
                common.fatal.report(fault.into());
            }
            drop_aside(folder).await;
            return report(outcome, detail);
        }
        let (installed, answer) = oneshot::channel();
        common
            .inbox
            .deliver(PeerEvent::SnapshotReceived(ReceivedSnapshot {
                dir: folder.dir.clone(),
                raft_message: start.raft_message,
                index: Index(start.index),
                term: Term(start.term),
                installed,
            }));
        // Without a timeout: the folder belongs to the driver until it answers.
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = common.stopping.cancelled() => {
                // The driver may or may not have installed it. The next start removes it or uses
                // it.
                folder.is_ours = false;
                return report(Outcome::NotInstalled, "this member stops");
            }
        };
        match answer {
            Ok(true) => {
                folder.is_ours = false;
                report(Outcome::Received, "")
            }
            Ok(false) => {
                drop_aside(folder).await;
                report(Outcome::NotInstalled, "it was not installed")
            }
            // The driver has ended, perhaps during the installation: the folder may be the state
            // already.
            Err(_) => {
                folder.is_ours = false;
                report(Outcome::NotInstalled, "this member stops")
            }
        }
    }
}

/// Declines a snapshot that this member does not need or cannot use, as its start shows.
fn decline(start: &SnapshotStart, applied: Index) -> Option<SnapshotReport> {
    if Index(start.index) <= applied {
        return Some(report(Outcome::Outdated, format!("{applied} is applied")));
    }
    if !(OLDEST_FORMAT..=FORMAT_VERSION).contains(&start.format_version) {
        let detail = format!(
            "the files have format version {}, this member reads {OLDEST_FORMAT} to \
             {FORMAT_VERSION}",
            start.format_version
        );
        return Some(report(Outcome::Foreign, detail));
    }
    let too_many = start.files.len() > FILES_MAX;
    too_many.then(|| report(Outcome::Corrupt, "too many files"))
}

/// Starts a thread that writes the received pieces, and waits for its result.
async fn write(
    dir: &Path,
    start: &SnapshotStart,
    mut chunks: Streaming<SnapshotChunk>,
    stats: Option<&OfPeer>,
    stopping: &CancellationToken,
) -> Result<(), WriteError> {
    let (to_disk, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let (folder, files) = (dir.to_owned(), start.files.clone());
    let writing = spawn_blocking(move || {
        let mut writer = Writer::create(&folder, files)?;
        while let Some(chunk) = pieces.blocking_recv() {
            writer.take(chunk)?;
        }
        writer.finish()
    });
    let fed = tokio::select! {
        fed = feed(&mut chunks, stats, &to_disk) => fed,
        () = stopping.cancelled() => Err(WriteError::Stops),
    };
    drop(to_disk);
    // The thread must end before its folder may be removed.
    let written = writing.await.unwrap_or_else(|error| {
        Err(WriteError::Disk {
            path: dir.to_owned(),
            error: io::Error::other(error),
        })
    });
    match (fed, written) {
        (Ok(()), written) => written,
        // The missing end is only a consequence of the error.
        (Err(error), Ok(()) | Err(WriteError::Short)) => Err(error),
        (Err(_), Err(error)) => Err(error),
    }
}

/// Passes pieces from the network to the disk until either side ends.
async fn feed(
    chunks: &mut Streaming<SnapshotChunk>,
    stats: Option<&OfPeer>,
    to_disk: &mpsc::Sender<Chunk>,
) -> Result<(), WriteError> {
    loop {
        let message = tokio::time::timeout(PIECE_MAX, chunks.message())
            .await
            .map_err(|_elapsed| WriteError::Stalled)?
            .map_err(|status| WriteError::Broken(reason(&status)))?;
        let Some(message) = message else {
            return Ok(());
        };
        let chunk = message.chunk.ok_or(WriteError::Unknown)?;
        if let (Some(stats), Chunk::Data(data)) = (stats, &chunk) {
            stats.received_bytes.inc_by(data.data.len() as u64);
        }
        if to_disk.send(chunk).await.is_err() {
            // The thread has ended, and its result has the reason.
            return Ok(());
        }
    }
}

/// Removes a folder without blocking the runtime.
async fn drop_aside(folder: Folder) {
    let _ = spawn_blocking(move || drop(folder)).await;
}

fn remove(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let dir = dir.display();
            tracing::warn!(%dir, %error, "a snapshot that was not used cannot be removed");
        }
    }
}
