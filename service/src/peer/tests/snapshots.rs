//! Snapshots from disk to disk, and the outcome of unwanted and damaged ones.

use std::fs;

use bytes::Bytes;
use conclave_core::workers::Threads;
use conclave_proto::peer::snapshot_chunk::Chunk;
use conclave_proto::peer::snapshot_report::Outcome;
use conclave_proto::peer::{
    Hello, SnapshotChunk, SnapshotData, SnapshotEnd, SnapshotFile, SnapshotReport, SnapshotStart,
};
use conclave_storage::Term;
use conclave_storage::layout::FORMAT_VERSION;
use conclave_storage::snapshot::Snapshot;
use conclave_storage::state_store::StateFolders;

use super::super::dial::Dialling;
use super::super::hello::PROTOCOL_VERSION;
use super::*;
use crate::metrics::Transfers;
use conclave_core::peers::{ReceivedSnapshot, SnapshotFiles};

/// A checkpoint with an empty file, a small one, and one of several pieces.
fn checkpoint(party: &Party, index: u64) -> Arc<SnapshotFiles> {
    let dir = party.dir.path().join(format!("checkpoint.{index}"));
    fs::create_dir(&dir).expect("a folder");
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let contents: [(&str, &[u8]); 3] = [("empty", b""), ("small", b"small"), ("large", &large)];
    for (name, content) in contents {
        fs::write(dir.join(name), content).expect("written");
    }
    let sizes = contents.iter().map(|(name, content)| {
        let size_bytes = content.len() as u64;
        ((*name).to_owned(), size_bytes)
    });
    let snapshot = Snapshot {
        index: Index(index),
        term: Term(3),
        members: Vec::new(),
        files: sizes.collect(),
    };
    let member_dir = party.dir.path().to_owned();
    let states = Arc::new(StateFolders::new(member_dir, |_| {
        unreachable!("it is sent")
    }));
    Arc::new(SnapshotFiles::new(dir, snapshot, states, Arc::new(Threads)))
}

async fn outcome_at(party: &mut Party, to: u64) -> bool {
    party
        .hears(|event| match event {
            PeerEvent::SnapshotSent { to: t, arrived } if *t == MemberId(to) => Some(*arrived),
            _ => None,
        })
        .await
}

/// The next snapshot given to the driver, taken out of its event, since answering consumes it.
async fn received(party: &mut Party) -> ReceivedSnapshot {
    let is_one = |event: &PeerEvent| matches!(event, PeerEvent::SnapshotReceived(_));
    loop {
        let at = party.heard.iter().position(is_one);
        if let Some(PeerEvent::SnapshotReceived(snapshot)) = at.map(|at| party.heard.remove(at)) {
            return snapshot;
        }
        let event = tokio::time::timeout(PATIENCE, party.events.recv()).await;
        let event = event.expect("a snapshot comes in time");
        party.heard.push(event.expect("the network lives"));
    }
}

fn start(index: u64) -> SnapshotStart {
    SnapshotStart {
        hello: Some(Hello {
            protocol_version: PROTOCOL_VERSION,
            cluster_id: CLUSTER,
            member_id: 1,
            boot_id: 7,
            to_member_id: 2,
            peer_urls: Vec::new(),
        }),
        index,
        format_version: FORMAT_VERSION,
        files: vec![SnapshotFile {
            name: "a".to_owned(),
            size_bytes: 1,
        }],
        ..SnapshotStart::default()
    }
}

async fn transfer(party: &Party, chunks: Vec<Chunk>) -> SnapshotReport {
    let dialling = Dialling::new(None, PATIENCE, MESSAGE_BYTES_MAX);
    let connection = dialling.dial(&party.url).await.expect("it listens");
    let chunks = chunks
        .into_iter()
        .map(|chunk| SnapshotChunk { chunk: Some(chunk) });
    let report = connection
        .client()
        .snapshot(tokio_stream::iter(chunks.collect::<Vec<_>>()))
        .await;
    report.expect("a report").into_inner()
}

/// Numbers of transfers in progress, succeeded and failed.
fn counted(transfers: &Transfers) -> (i64, u64, u64) {
    let Transfers {
        inflight,
        success,
        failures,
        ..
    } = transfers;
    (inflight.get(), success.get(), failures.get())
}

fn left_in(party: &Party) -> usize {
    fs::read_dir(party.dir.path()).expect("a folder").count()
}

#[tokio::test]
async fn a_snapshot_goes_from_disk_to_disk() {
    let (mut a, mut b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.meet(&[&a]);
    let files = checkpoint(&a, 9);
    let (dir, names) = (files.dir.clone(), files.files.clone());
    a.network
        .send_snapshot(MemberId(2), "message".into(), Arc::clone(&files));
    let snapshot = received(&mut b).await;
    assert_eq!((snapshot.index, snapshot.term), (Index(9), Term(3)));
    assert_eq!(&snapshot.raft_message[..], b"message");
    for (name, _) in names {
        let sent = fs::read(dir.join(&name)).expect("sent");
        assert_eq!(fs::read(snapshot.dir.join(&name)).expect("received"), sent);
    }
    assert_eq!(a.stats(2).sending.inflight.get(), 1);
    assert_eq!(counted(&b.stats(1).receiving), (1, 0, 0));
    // While the driver installs one, another one is refused.
    let report = transfer(&b, vec![Chunk::Start(start(10))]).await;
    assert_eq!(report.outcome(), Outcome::Busy);
    // Nor is a second one sent.
    a.network.send_snapshot(MemberId(2), Bytes::new(), files);
    assert!(!outcome_at(&mut a, 2).await);
    snapshot.installed.send(true).expect("waited for");
    assert!(outcome_at(&mut a, 2).await);
    // The sender's files are removed with their last owner.
    until(|| !dir.exists()).await;
    assert!(snapshot.dir.exists(), "it belongs to the driver");
    let (sender, receiver) = (a.stats(2), b.stats(1));
    assert_eq!(counted(&sender.sending), (0, 1, 0));
    assert_eq!(counted(&receiver.receiving), (0, 1, 0));
    assert!(sender.sending.seconds.get_sample_count() == 1);
    for bytes in [&sender.sent_bytes, &receiver.received_bytes] {
        assert_eq!(bytes.get(), 5_000_005);
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_is_not_needed_is_as_good_as_arrived() {
    let (mut a, b) = (Party::start(1).await, Party::start(2).await);
    b.applied.store(9, Ordering::Relaxed);
    a.meet(&[&b]);
    a.network
        .send_snapshot(MemberId(2), Bytes::new(), checkpoint(&a, 9));
    assert!(outcome_at(&mut a, 2).await);
    let report = transfer(&b, vec![Chunk::Start(start(8))]).await;
    assert_eq!(
        (report.outcome(), report.applied_index),
        (Outcome::Outdated, 9)
    );
    assert_eq!(left_in(&b), 0);
    assert_eq!(counted(&a.stats(2).sending), (0, 0, 0));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_is_damaged_or_foreign_leaves_nothing_behind() {
    let b = Party::start(2).await;
    let data = |crc32c| {
        Chunk::Data(SnapshotData {
            data: "a".into(),
            crc32c,
            ..SnapshotData::default()
        })
    };
    let crc32c = crc32c::crc32c(b"a");
    let end = Chunk::End(SnapshotEnd {
        size_bytes: 1,
        crc32c: 0,
    });
    for chunks in [
        vec![Chunk::Start(start(9)), data(crc32c ^ 1)],
        vec![Chunk::Start(start(9)), data(crc32c)],
        vec![Chunk::Start(start(9)), data(crc32c), end],
    ] {
        let report = transfer(&b, chunks).await;
        assert_eq!(report.outcome(), Outcome::Corrupt, "{}", report.detail);
        assert_eq!(left_in(&b), 0);
    }
    let foreign = SnapshotStart {
        format_version: FORMAT_VERSION + 1,
        ..start(9)
    };
    let report = transfer(&b, vec![Chunk::Start(foreign)]).await;
    assert_eq!(report.outcome(), Outcome::Foreign);
    b.stop().await;
}

/// The driver refused the snapshot: its folder is removed, and the sender gets a report.
#[tokio::test]
async fn a_snapshot_that_is_not_installed_did_not_arrive() {
    let (mut a, mut b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.meet(&[&a]);
    a.network
        .send_snapshot(MemberId(2), Bytes::new(), checkpoint(&a, 9));
    let snapshot = received(&mut b).await;
    snapshot.installed.send(false).expect("waited for");
    assert!(!outcome_at(&mut a, 2).await);
    assert_eq!(left_in(&b), 0);
    // A driver that has ended may have installed it, so its folder is not removed.
    a.network
        .send_snapshot(MemberId(2), Bytes::new(), checkpoint(&a, 10));
    let snapshot = received(&mut b).await;
    drop(snapshot.installed);
    assert!(!outcome_at(&mut a, 2).await);
    assert_eq!(left_in(&b), 1);
    assert_eq!(counted(&a.stats(2).sending), (0, 0, 2));
    assert_eq!(counted(&b.stats(1).receiving), (0, 0, 2));
    a.stop().await;
    b.stop().await;
}

/// The snapshot may be sent again before the first copy is applied; the first copy is the state by
/// then.
#[tokio::test]
async fn the_same_snapshot_again_leaves_the_first_alone() {
    let (mut a, mut b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    let files = checkpoint(&a, 9);
    let mut folders = Vec::new();
    for _ in 0..2 {
        a.network
            .send_snapshot(MemberId(2), Bytes::new(), Arc::clone(&files));
        let snapshot = received(&mut b).await;
        snapshot.installed.send(true).expect("waited for");
        assert!(outcome_at(&mut a, 2).await);
        folders.push(snapshot.dir);
    }
    assert_ne!(folders[0], folders[1]);
    assert!(folders.iter().all(|folder| folder.join("large").exists()));
    a.stop().await;
    b.stop().await;
}

/// The driver may be installing it at this instant, so the folder is left to the next start, which
/// can tell.
#[tokio::test]
async fn a_snapshot_that_waits_when_the_member_stops_is_left_alone() {
    let (mut a, mut b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    a.network
        .send_snapshot(MemberId(2), Bytes::new(), checkpoint(&a, 9));
    let snapshot = received(&mut b).await;
    let _dir = b.stop().await;
    assert!(!outcome_at(&mut a, 2).await);
    assert!(snapshot.dir.exists());
    a.stop().await;
}

/// The driver gets exactly one notification, whatever the outcome.
#[tokio::test]
async fn a_snapshot_to_a_member_that_goes_is_told() {
    let (mut a, mut b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    a.network
        .send_snapshot(MemberId(2), Bytes::new(), checkpoint(&a, 9));
    let snapshot = received(&mut b).await;
    a.meet(&[]);
    assert!(!outcome_at(&mut a, 2).await);
    // There is no connection to the member.
    a.network
        .send_snapshot(MemberId(2), Bytes::new(), checkpoint(&a, 10));
    assert!(!outcome_at(&mut a, 2).await);
    snapshot.installed.send(true).expect("still waited for");
    a.stop().await;
    b.stop().await;
}
