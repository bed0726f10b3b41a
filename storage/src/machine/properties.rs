//! The machine against the model, over random histories, commits, steps of removal, restarts and
//! crashes.

use std::collections::BTreeMap;

use bytes::Bytes;
use conclave_proto::command::command::Body;
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::request_op::Request;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

use super::model::{self, Model};
use super::script::{Stage, payload};
use super::{Change, Changes, Outcome};
use crate::engine::memory::MemoryEngine;
use crate::engine::{Direction, Read};
use crate::ids::{Index, LeaseId, Revision, Term};
use crate::mvcc::range::successor;
use crate::mvcc::record::logical_size;
use crate::reader::{ReadError, rows};
use crate::{convert, layout};

mod generate;

use generate::{KEYS, Step, body, step};

/// The machine and the model side by side.
struct Pair {
    stage: Stage,
    model: Model,
    /// The log, which a restarted machine may have to apply again.
    log: Vec<Bytes>,
    /// Number of revisions of the model whose changes the machine has returned.
    announced: usize,
}

impl Pair {
    fn new() -> Pair {
        Pair {
            stage: Stage::new(),
            model: Model::new(),
            log: Vec::new(),
            announced: 2,
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Entry(bodies) => self.entry(bodies),
            Step::Commit => self.commit(),
            Step::Remove(rows) => {
                self.commit();
                self.stage.machine.limits.compaction_rows = *rows;
                self.stage.machine.compact_step().expect("steps");
            }
            Step::Reopen => {
                self.commit();
                self.stage = Stage::on(self.stage.engine.clone());
            }
            Step::Crash(seed) => self.crash(*seed),
            Step::Convert(batches) => self.convert(*batches),
            Step::Read(request) => {
                self.commit();
                self.check_range(request);
            }
            Step::CheckAll => self.check_all(),
        }
    }

    fn entry(&mut self, bodies: &[Body]) {
        self.log.push(payload(bodies.to_vec()));
        let outcomes: Vec<Outcome> = self.stage.apply(bodies.to_vec()).into();
        let expected: Vec<Outcome> = bodies.iter().map(|body| self.model.apply(body)).collect();
        assert_eq!(outcomes, expected);
    }

    fn commit(&mut self) {
        let effects = self.stage.commit();
        let changes = effects
            .changes
            .iter()
            .map(|changes| changes.changes.clone());
        let changes: Vec<Vec<Change>> = changes.collect();
        assert_eq!(changes, self.model.changes[self.announced..]);
        self.announced = self.model.changes.len();
        if let Some(revision) = effects.compacted {
            assert_eq!(revision.0, self.model.compacted);
        }
        self.check_counts();
    }

    /// Counts of one range again and again, which the reader need not do each time.
    fn check_counts(&self) {
        let now = self.model.revision();
        for revision in [now - 3, now - 1, now] {
            if revision < self.model.compacted.max(1) {
                continue;
            }
            let request = api::RangeRequest {
                key: Bytes::from_static(b"\0"),
                range_end: Bytes::from_static(b"\0"),
                revision,
                count_only: true,
                ..api::RangeRequest::default()
            };
            let expected = self.model.states[revision as usize].len() as i64;
            let counted = self.stage.reader.range(&request).expect("counts");
            assert_eq!(counted.count, expected, "at {revision}");
        }
    }

    /// Crashes: loses uncommitted entries and some committed ones, and applies them again.
    fn crash(&mut self, seed: u64) {
        self.stage = Stage::on(self.stage.engine.crash_seeded(seed));
        let applied = self.stage.reader.applied();
        for (position, payload) in self.log.iter().enumerate().skip(applied.index.0 as usize) {
            let index = Index(position as u64 + 1);
            self.stage
                .machine
                .apply(index, Term(1), payload)
                .expect("applies");
        }
        self.stage.set_index(Index(self.log.len() as u64));
        self.stage.machine.commit().expect("commits");
        self.announced = self.model.changes.len();
    }

    /// Puts a state of format 1 in place of this one, converts it, and crashes on the way.
    fn convert(&mut self, batches: usize) {
        self.commit();
        let engine = &self.stage.engine;
        let without_format = |engine| {
            let mut pairs = dump(engine);
            pairs.retain(|(_, key, _)| key != layout::META_FORMAT);
            pairs
        };
        let before = without_format(engine);
        convert::tests::to_format_1(engine);
        if self.stage.reader.applied().index == Index::NONE {
            return;
        }
        let engine = convert::tests::convert_and_crash(engine, batches);
        convert::to_current(&engine, &mut |_| {}).expect("goes on");
        assert_eq!(without_format(&engine), before);
        self.stage = Stage::on(engine);
    }

    fn check_range(&self, request: &api::RangeRequest) {
        let now = self.model.revision();
        let at = if request.revision > 0 {
            request.revision
        } else {
            now
        };
        let expected = if at > now {
            Err(ReadError::Rejected(ApiError::FutureRev))
        } else if at < self.model.compacted {
            Err(ReadError::Rejected(ApiError::Compacted))
        } else {
            let mut response = model::answer(&self.model.states[at as usize], request);
            response.header = crate::mvcc::query::header(Revision(now));
            Ok(response)
        };
        assert_eq!(self.stage.reader.range(request), expected);
        self.check_stream(request, &expected);
        self.check_pages(request, &expected);
        self.check_encoded(request, &expected);
        let Ok(page) = expected else { return };
        if page.more && request.sort_order == 0 && request.sort_target == 0 {
            // The number of keys in the next page's range is now known, wherever it begins.
            let last = page.kvs.last().expect("the limit is at least 1");
            let mut next = api::RangeRequest {
                key: successor(&last.key),
                revision: at,
                ..request.clone()
            };
            if at % 2 == 0 {
                let rest = model::answer(&self.model.states[at as usize], &next);
                next.key = rest.kvs[0].key.clone();
            }
            self.check_range(&next);
        }
    }

    /// The encoded range, with the other fields around it, is the bytes of the response.
    fn check_encoded(
        &self,
        request: &api::RangeRequest,
        expected: &Result<api::RangeResponse, ReadError>,
    ) {
        if !rows::is_encodable(request) {
            return;
        }
        let (range, expected) = match (self.stage.reader.encode_range(request), expected) {
            (Ok(range), Ok(expected)) => (range, expected),
            (range, expected) => {
                assert_eq!(range.err().as_ref(), expected.as_ref().err());
                return;
            }
        };
        let before = api::RangeResponse {
            header: crate::mvcc::query::header(range.measured.now),
            ..api::RangeResponse::default()
        };
        let after = api::RangeResponse {
            more: range.measured.more,
            count: range.measured.count,
            ..api::RangeResponse::default()
        };
        let around = before.encoded_len() + after.encoded_len();
        let size_bytes = around as u64 + range.measured.size_bytes;
        let bytes = range.between(&before.encode_to_vec(), &after.encode_to_vec());
        assert_eq!(
            size_bytes,
            bytes.iter().map(Bytes::len).sum::<usize>() as u64
        );
        assert_eq!(bytes.concat(), expected.encode_to_vec());
    }

    /// Pages, put together again, are the bytes of the response.
    fn check_pages(
        &self,
        request: &api::RangeRequest,
        expected: &Result<api::RangeResponse, ReadError>,
    ) {
        if !rows::is_encodable(request) {
            return;
        }
        for kept_bytes_max in [0, 40, u64::MAX] {
            let read = self.stage.reader.range_in_pages(request, 30, |range| {
                let measured = range.measure(kept_bytes_max)?;
                let mut bytes = Vec::new();
                while let Some(page) = range.next_page()? {
                    // Only the last page may be shorter.
                    assert_eq!(bytes.len() % 30, 0);
                    assert!(page.len() <= 30);
                    bytes.extend_from_slice(&page);
                }
                Ok((measured, bytes))
            });
            let (measured, bytes) = match (read, expected) {
                (Ok(read), Ok(_)) => read,
                (read, expected) => {
                    assert_eq!(read.err().as_ref(), expected.as_ref().err());
                    return;
                }
            };
            let expected = expected.clone().expect("so is the reading");
            assert_eq!(crate::mvcc::query::header(measured.now), expected.header);
            assert_eq!(
                (measured.more, measured.count),
                (expected.more, expected.count)
            );
            let kvs = api::RangeResponse {
                kvs: expected.kvs,
                ..api::RangeResponse::default()
            };
            assert_eq!(measured.size_bytes, bytes.len() as u64);
            assert_eq!(bytes, kvs.encode_to_vec());
        }
    }

    /// A stream, put together again, is the response.
    fn check_stream(
        &self,
        request: &api::RangeRequest,
        expected: &Result<api::RangeResponse, ReadError>,
    ) {
        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        if request.sort_order == 2 || request.sort_target != 0 || filters != [0; 4] {
            return;
        }
        let Ok(expected) = expected else { return };
        let reader = &self.stage.reader;
        let mut cursor = reader.range_stream(request).expect("begins");
        let mut whole = api::RangeResponse::default();
        while !cursor.is_finished() {
            let piece = reader.range_stream_step(&mut cursor, 30).expect("a piece");
            whole.kvs.extend(piece.kvs);
            assert_eq!(piece.header.is_some(), cursor.is_finished());
            (whole.header, whole.more, whole.count) = (piece.header, piece.more, piece.count);
        }
        assert_eq!(whole, *expected);
    }

    fn check_all(&mut self) {
        self.commit();
        let all = api::RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            ..Default::default()
        };
        for revision in 1..=self.model.revision() + 1 {
            self.check_range(&api::RangeRequest {
                revision,
                ..all.clone()
            });
        }
        self.check_history();
        for id in 1..4 {
            let keys = self.stage.reader.lease_keys(LeaseId(id)).expect("reads");
            assert_eq!(keys, self.model.lease_keys(id));
        }
        let leases = self.stage.reader.leases().expect("reads");
        let leases: BTreeMap<_, _> = leases.iter().map(|l| (l.id, l.ttl_seconds)).collect();
        assert_eq!(leases, self.model.leases);
        self.check_keys();
    }

    /// The keys that are counted are those that have a head.
    fn check_keys(&self) {
        let pairs = dump(&self.stage.engine);
        let of = |space: &'static str| pairs.iter().filter(move |(of, ..)| *of == space);
        let keys: Vec<_> = of("key").map(|(_, key, _)| key).collect();
        let heads: Vec<_> = of("head").map(|(_, key, _)| key).collect();
        assert_eq!(keys, heads);
    }

    fn check_history(&self) {
        let reader = &self.stage.reader;
        let compacted = self.model.compacted;
        if compacted > 1 {
            let below = reader.history(Revision(compacted - 1), Revision(i64::MAX - 1), 1);
            assert_eq!(below, Err(ReadError::Rejected(ApiError::Compacted)));
        }
        let mut next = Revision(compacted.max(1));
        let mut changes: Vec<Changes> = Vec::new();
        while next.0 <= self.model.revision() {
            let history = reader
                .history(next, Revision(i64::MAX - 1), 300)
                .expect("reads");
            assert!(history.next > next);
            changes.extend(history.changes.iter().map(|changes| (**changes).clone()));
            next = history.next;
        }
        let mut expected = Vec::new();
        for revision in compacted.max(2)..=self.model.revision() {
            let mut of = self.model.changes[revision as usize].clone();
            for change in &mut of {
                if revision - 1 < compacted {
                    change.prev = None;
                }
            }
            expected.push(Changes::new(Revision(revision), of));
        }
        assert_eq!(changes, expected);
    }

    fn remove_all(&mut self) {
        self.commit();
        while self.stage.machine.compact_step().expect("steps") {}
        let reader = &self.stage.reader;
        assert_eq!(reader.compaction_finished().0, self.model.compacted);
        let stored = reader.sizes().logical - layout::EMPTY_STORE_BYTES;
        assert_eq!(stored as i64, self.retained_size());
    }

    /// Logical size of the versions that compaction must keep.
    fn retained_size(&self) -> i64 {
        let compacted = self.model.compacted;
        let mut size = 0;
        for (revision, changes) in self.model.changes.iter().enumerate() {
            let revision = revision as i64;
            for change in changes {
                let kv = &change.kv;
                let is_put = kv.version > 0;
                let at = self
                    .model
                    .states
                    .get(compacted.max(0) as usize)
                    .expect("it was there");
                let kept = revision > compacted
                    || at
                        .get(&kv.key)
                        .is_some_and(|at| is_put && at.mod_revision == revision)
                    || (!is_put && revision == compacted);
                if kept {
                    size += logical_size(&kv.key, kv.value.len());
                }
            }
        }
        size
    }
}

/// Every pair of every space.
fn dump(engine: &MemoryEngine) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    for space in layout::STATE_SPACES {
        let mut scan = engine
            .scan(*space, &[], None, Direction::Forward)
            .expect("scans");
        while let Some((key, value)) = scan.next().expect("scans") {
            pairs.push((space.name, key.to_vec(), value.to_vec()));
        }
    }
    pairs
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Outcomes, changes and reads equal the model's, for any grouping into commits and any steps
    /// of removal, restarts and crashes.
    #[test]
    fn the_machine_is_the_model(steps in vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.run(step);
        }
        pair.check_all();
        pair.remove_all();
        pair.check_all();
    }

    /// The bytes of the state depend on the entries alone, once removal has ended.
    #[test]
    fn the_state_is_a_function_of_the_log(
        entries in vec(vec(body(), 1..4), 1..40),
        choices in vec((any::<bool>(), option::of(1..4usize)), 40),
    ) {
        let (mut plain, mut other) = (Pair::new(), Pair::new());
        for (bodies, (commit, rows)) in entries.iter().zip(choices) {
            plain.entry(bodies);
            plain.commit();
            other.entry(bodies);
            match (commit, rows) {
                (true, Some(rows)) => other.run(&Step::Remove(rows)),
                (true, None) => other.commit(),
                (false, _) => {}
            }
        }
        plain.remove_all();
        other.remove_all();
        prop_assert_eq!(dump(&plain.stage.engine), dump(&other.stage.engine));
        prop_assert_eq!(plain.stage.reader.hash_kv(0), other.stage.reader.hash_kv(0));
        prop_assert_eq!(plain.stage.reader.hash(), other.stage.reader.hash());
    }

    /// The removal of compacted versions does not change the hash at any readable revision.
    #[test]
    fn removal_does_not_change_the_hash(entries in vec(vec(body(), 1..4), 1..40)) {
        let mut pair = Pair::new();
        for bodies in &entries {
            pair.entry(bodies);
        }
        pair.commit();
        // A second reader, because the first one remembers its hashes.
        let revisions = pair.model.compacted.max(1)..=pair.model.revision();
        let all = |pair: &Pair| -> Vec<_> {
            let fresh = Stage::on(pair.stage.engine.clone());
            revisions.clone().map(|revision| fresh.reader.hash_kv(revision)).collect()
        };
        let before = all(&pair);
        pair.stage.machine.limits.compaction_rows = 3;
        while pair.stage.machine.compact_step().expect("steps") {
            prop_assert_eq!(&all(&pair), &before);
        }
        prop_assert_eq!(&all(&pair), &before);
    }
}

/// Readers in other threads, while the machine writes and removes: every transaction writes all
/// keys, so every read must find one value in all of them, and of a revision either all or
/// "compacted".
#[test]
fn readers_see_whole_revisions() {
    let mut stage = Stage::new();
    let reader = stage.reader.clone();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let (reader, stop) = (reader.clone(), &stop);
            scope.spawn(move || {
                let mut back = thread;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    back = (back * 7 + 1) % 20;
                    look(&reader, back as i64);
                }
            });
        }
        for round in 1..3000i64 {
            let puts = KEYS.iter().map(|key| api::RequestOp {
                request: Some(Request::RequestPut(api::PutRequest {
                    key: Bytes::from_static(key),
                    value: round.to_string().into(),
                    ..Default::default()
                })),
            });
            let txn = api::TxnRequest {
                success: puts.collect(),
                ..Default::default()
            };
            let mut bodies = vec![Body::Txn(txn)];
            if round % 5 == 0 {
                let compaction = api::CompactionRequest {
                    revision: round - 2,
                    physical: false,
                };
                bodies.push(Body::Compaction(compaction));
            }
            stage.apply(bodies);
            stage.commit();
            stage.machine.compact_step().expect("steps");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Counts in other threads, while the machine creates and deletes keys.
#[test]
fn counts_are_of_their_revision() {
    const ROUNDS: i64 = 3000;
    // Two keys are created, then one is deleted.
    let count_at = |revision: i64| {
        let rounds = revision - 1;
        rounds / 3 + rounds % 3
    };
    let mut stage = Stage::new();
    let reader = stage.reader.clone();
    let count = |back: i64, limit: i64| {
        let applied = reader.applied().revision.0;
        let revision = if back == 0 {
            0
        } else {
            (applied - back).max(1)
        };
        let request = api::RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            revision,
            limit,
            count_only: limit == 0,
            ..api::RangeRequest::default()
        };
        let response = reader.range(&request).expect("counts");
        let header = response.header.expect("a header").revision;
        let at = if back == 0 { header } else { revision };
        assert_eq!(response.count, count_at(at), "at {at}");
    };
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (count, stop) = (&count, &stop);
            scope.spawn(move || {
                for look in 0.. {
                    count((look % 5 - 1).max(0), (thread + look) % 2);
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for round in 0..ROUNDS {
            let key = Bytes::from(format!("{}", round - round % 3));
            stage.apply(vec![match round % 3 {
                0 => Body::Put(put(key)),
                1 => Body::Put(put([&key[..], b"+"].concat().into())),
                _ => Body::DeleteRange(api::DeleteRangeRequest {
                    key,
                    ..api::DeleteRangeRequest::default()
                }),
            }]);
            stage.commit();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

fn put(key: Bytes) -> api::PutRequest {
    api::PutRequest {
        key,
        ..api::PutRequest::default()
    }
}

fn look(reader: &crate::reader::Reader, back: i64) {
    let applied = reader.applied();
    let revision = if back < 5 {
        0
    } else {
        (applied.revision.0 - back).max(0)
    };
    let request = api::RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        revision,
        ..Default::default()
    };
    match reader.range(&request) {
        Ok(response) => {
            let header = response.header.expect("a header").revision;
            assert!(header >= applied.revision.0);
            let at = if revision == 0 { header } else { revision };
            let whole = if at == 1 { 0 } else { KEYS.len() };
            assert_eq!(response.kvs.len(), whole);
            assert!(response.kvs.iter().all(|kv| kv.mod_revision == at));
        }
        Err(error) => {
            assert_eq!(error, ReadError::Rejected(ApiError::Compacted));
            assert!(revision != 0 && revision < reader.applied().compacted.0);
        }
    }
    let from = applied.revision.previous();
    if let Ok(history) = reader.history(from, applied.revision, usize::MAX) {
        for changes in &history.changes {
            assert_eq!(changes.changes.len(), KEYS.len());
            assert!(
                changes.changes.iter().all(|change| change.prev.is_some())
                    || changes.revision <= reader.applied().compacted
                    || changes.revision == Revision(2)
            );
        }
    }
}
