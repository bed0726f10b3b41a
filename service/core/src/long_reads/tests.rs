//! The lanes on a store in memory: budgets, turns, clients that do not read, the end.

use std::task::Waker;

use bytes::Bytes;
use conclave_proto::command::command::Body;
use conclave_proto::command::{Batch, Command, Header, Member};
use conclave_proto::etcdserverpb::{PutRequest, RangeRequest};
use conclave_storage::ClusterId;
use conclave_storage::engine::SKIPPED_PER_ROW;
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::machine::{GENESIS, Genesis, Limits, Machine, PAYLOAD_VERSION};
use prost::Message as _;

use super::*;
use crate::observe::Unobserved;
use crate::workers::Threads;

/// A reader of so many keys with values of so many bytes.
fn reader_of(keys: usize, value_bytes: usize) -> Reader {
    let engine = Arc::new(MemoryEngine::new());
    let (mut machine, reader) = Machine::open(engine, Limits::default()).expect("memory");
    let member = Member {
        id: 1,
        ..Member::default()
    };
    let genesis = Genesis {
        cluster_id: ClusterId(7),
        members: vec![member],
    };
    machine.bootstrap(&genesis).expect("memory");
    let put = |n: usize| Command {
        header: Some(Header::default()),
        body: Some(Body::Put(PutRequest {
            key: format!("k{n:06}").into(),
            value: vec![b'v'; value_bytes].into(),
            ..PutRequest::default()
        })),
    };
    let batch = Batch {
        version: PAYLOAD_VERSION,
        commands: (0..keys).map(put).collect(),
    };
    let payload = Bytes::from(batch.encode_to_vec());
    machine
        .apply(GENESIS.0.next(), GENESIS.1, &payload)
        .expect("applies");
    machine.commit().expect("memory");
    reader
}

fn everything() -> RangeRequest {
    RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..RangeRequest::default()
    }
}

fn count(reader: &Reader) -> Result<i64, ReadError> {
    let request = RangeRequest {
        count_only: true,
        ..everything()
    };
    Ok(reader.range(&request)?.count)
}

fn in_pieces(sent: Result<Sent, Unread>) -> Pieces {
    match sent {
        Ok(Sent::Pieces(pieces)) => pieces,
        Ok(Sent::Whole(_)) => panic!("it is short"),
        Err(unread) => panic!("{unread:?}"),
    }
}

async fn next(pieces: &mut Pieces) -> Option<Result<Bytes, pieces::BrokenOff>> {
    std::future::poll_fn(|cx| pieces.poll_next(cx)).await
}

fn reads_of(reader: Reader) -> (LongReads, CancellationToken) {
    let stopping = CancellationToken::new();
    (
        LongReads::new(
            reader,
            (Arc::new(Threads), Arc::new(Unobserved)),
            stopping.clone(),
        ),
        stopping,
    )
}

#[tokio::test]
async fn what_exceeds_the_budget_is_read_all_the_same() {
    // The latest revision is a row, too.
    let counted_within = |rows: usize| (rows - 1) * SKIPPED_PER_ROW;
    let most = counted_within(QUICK_ROWS);
    let (reads, stopping) = reads_of(reader_of(most, 1));
    assert!(matches!(reads.brief(count), Ok(None)));
    assert!(matches!(reads.quick(count).await, Ok(Some(n)) if n == most as i64));
    let (larger, _) = reads_of(reader_of(most + 1, 1));
    assert!(matches!(larger.quick(count).await, Ok(None)));
    assert!(matches!(larger.read(count).await, Ok(n) if n == most as i64 + 1));
    let most = counted_within(BRIEF_ROWS);
    let (smaller, _) = reads_of(reader_of(most, 1));
    assert!(matches!(smaller.brief(count), Ok(Some(n)) if n == most as i64));
    smaller.stop().await;
    stopping.cancel();
    larger.stop().await;
    reads.stop().await;
}

#[tokio::test]
async fn a_message_arrives_whole() {
    let (reads, _) = reads_of(reader_of(1, 1));
    let sent = Bytes::from(vec![7; 3 * PIECE_BYTES + 1]);
    let work = sent.clone();
    let begun = reads.pieces(move |_, sending| {
        sending.begin(work.len() as u64)?;
        work.chunks(PIECE_BYTES)
            .try_for_each(|piece| sending.send(Bytes::copy_from_slice(piece)))
    });
    let mut pieces = in_pieces(begun.await);
    let mut got = Vec::new();
    while let Some(piece) = next(&mut pieces).await {
        got.extend_from_slice(&piece.expect("not broken off"));
    }
    let length = u32::try_from(sent.len()).expect("small").to_be_bytes();
    assert_eq!(got[..5], [&[0], &length[..]].concat());
    assert_eq!(got[5..], sent);
    reads.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused() {
    let (reads, _) = reads_of(reader_of(1, 1));
    let size_bytes = u64::from(u32::MAX) + 1;
    let refused = reads
        .pieces(move |_, sending| sending.begin(size_bytes))
        .await;
    assert!(matches!(refused, Err(Unread::TooLarge(bytes)) if bytes == size_bytes));
    let rejected = reads.pieces(|reader, _| {
        reader
            .key_at(b"k", conclave_storage::Revision(99))
            .map(drop)
    });
    assert!(matches!(
        rejected.await,
        Err(Unread::Read(ReadError::Rejected(_)))
    ));
    reads.stop().await;
}

/// It keeps nothing but its stream, and the others get their turn.
#[test]
fn a_client_that_does_not_read_loses_its_reply() {
    let turns = Arc::new(Turns::new(1));
    let abandoned = Arc::<AtomicBool>::default();
    let places = Arc::new(Semaphore::new(1));
    let place = Place::of_pieces(places.try_acquire_owned().expect("a place"));
    let channel = pieces::channel(
        Arc::clone(&turns),
        place,
        abandoned,
        Duration::from_millis(1),
    );
    let (mut sending, mut pieces, _begun) = channel;
    let _turn = turns.take();
    sending.begin(2).expect("there is room for one piece");
    assert_eq!(
        sending.send(Bytes::from_static(b"v")),
        Err(ReadError::Stopped)
    );
    sending.end(Err(ReadError::Stopped));
    let mut cx = std::task::Context::from_waker(Waker::noop());
    let std::task::Poll::Ready(next) = pieces.poll_next(&mut cx) else {
        panic!("it has ended")
    };
    assert_eq!(next, Some(Err(pieces::BrokenOff::Stalled)));
}

/// Far more of them than may run, each stuck with its client: all end with the connections.
#[tokio::test]
async fn clients_that_leave_end_their_reads() {
    let (reads, stopping) = reads_of(reader_of(10, 1));
    let endless = |_: &Reader, sending: &mut Sending| -> Result<(), ReadError> {
        sending.begin(1)?;
        loop {
            sending.send(Bytes::from_static(b"v"))?;
        }
    };
    let mut held = Vec::new();
    for _ in 0..PIECED_MAX {
        held.push(in_pieces(reads.pieces(endless).await));
    }
    // No place is left; but a read with a small result needs none of these, and neither does one
    // whose reply turns out to be short.
    assert!(matches!(reads.long(count).await, Ok(10)));
    let short = |_: &Reader, sending: &mut Sending| -> Result<(), ReadError> {
        sending.whole(vec![Bytes::from_static(b"v")]);
        Ok(())
    };
    let sent = reads.pieces(short).await;
    assert!(matches!(sent, Ok(Sent::Whole(buffers)) if buffers == ["v"]));
    let waits = tokio::time::timeout(Duration::ZERO, reads.pieces(endless)).await;
    assert!(waits.is_err());
    drop(held);
    let _pieces = in_pieces(reads.pieces(endless).await);
    stopping.cancel();
    assert!(matches!(reads.long(count).await, Err(Unread::Stopped)));
    reads.stop().await;
}
