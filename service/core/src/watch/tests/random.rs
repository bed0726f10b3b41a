//! Random runs, with a model that knows which events each watcher must receive.
//!
//! A run is determined by its number, which a failure prints.

use std::collections::BTreeMap;

use bytes::Bytes;
use conclave_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use conclave_proto::mvccpb::Event;
use conclave_proto::mvccpb::event::EventType;
use conclave_storage::machine::ChangeKind;
use conclave_storage::{KeyRange, Revision};
use prost::Message as _;

use super::world::{World, Write};
use crate::watch::Settings;
use crate::watch::hub::StreamId;
use crate::watch::index::of_request;

/// An event as the model compares it.
type Seen = (i64, bool, Bytes);

/// A client's knowledge of a watcher, and the events it must have received.
struct Watcher {
    range: KeyRange,
    start: i64,
    no_put: bool,
    no_delete: bool,
    prev_kv: bool,
    may_fragment: bool,
    seen: Vec<Seen>,
    /// The revision of the last progress notification.
    complete_to: i64,
    in_fragments: bool,
}

struct Run {
    number: u64,
    seed: u64,
    settings: Settings,
    world: World,
    clients: BTreeMap<StreamId, BTreeMap<i64, Watcher>>,
    next_stream: StreamId,
    ended_by_compaction: usize,
    progressed: usize,
    seen: usize,
    /// Number of responses with several revisions.
    packed: usize,
}

#[test]
fn the_invariants_hold_on_random_runs() {
    let (mut seen, mut progressed, mut compacted, mut packed) = (0, 0, 0, 0);
    for number in 0..300 {
        let run = Run::new(number).play();
        seen += run.seen;
        progressed += run.progressed;
        compacted += run.ended_by_compaction;
        packed += run.packed;
    }
    assert!(seen > 10_000, "only {seen} events were seen");
    assert!(
        progressed > 300,
        "only {progressed} progress notifications were seen"
    );
    assert!(compacted > 30, "only {compacted} watchers met a compaction");
    assert!(packed > 1_000, "only {packed} responses were packed");
}

impl Run {
    fn new(number: u64) -> Run {
        let mut settings = World::settings();
        settings.ring_bytes_max = 400;
        settings.queue_messages_max = 2 + (number % 3) as usize;
        settings.queue_bytes_max = 600;
        settings.step_bytes_max = 150;
        settings.fragment_bytes = 60;
        settings.pack_steps_max = 1 + (number % 4) as usize;
        settings.pack_revisions_max = 2 + (number % 5) as usize;
        settings.pack_bytes_max = 60 + (number % 7) as usize * 40;
        settings.response_bytes_max = 40 + (number % 6) as usize * 30;
        Run {
            number,
            seed: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            settings,
            world: World::new(settings),
            clients: BTreeMap::new(),
            next_stream: 0,
            ended_by_compaction: 0,
            progressed: 0,
            seen: 0,
            packed: 0,
        }
    }

    fn play(mut self) -> Run {
        for _ in 0..400 {
            self.step();
        }
        let streams: Vec<_> = self.clients.keys().copied().collect();
        for stream in streams {
            self.world.settle(stream);
            self.check(stream);
            for (id, watcher) in &self.clients[&stream] {
                let expected = expected(&self.world, watcher);
                assert_eq!(
                    watcher.seen, expected,
                    "run {}: watcher {id} at the end",
                    self.number
                );
            }
        }
        self
    }

    fn step(&mut self) {
        match self.roll(21) {
            0..=4 => {
                let writes = self.writes();
                self.world.write(&writes);
            }
            5..=8 => self.world.run_hub(),
            9 if self.roll(4) == 0 => {
                let revisions = vec![self.writes(), self.writes(), self.writes()];
                self.world.install(&revisions);
            }
            10 if self.roll(3) == 0 => {
                let at = self.world.now().0 - self.roll(12) as i64;
                self.world.compact(Revision(at));
            }
            11 if self.clients.len() < 4 => {
                self.next_stream += 1;
                self.world.open(self.next_stream);
                self.clients.insert(self.next_stream, BTreeMap::new());
            }
            _ => self.step_of_a_stream(),
        }
    }

    fn step_of_a_stream(&mut self) {
        let streams: Vec<_> = self.clients.keys().copied().collect();
        if streams.is_empty() {
            return;
        }
        let stream = streams[self.roll(streams.len() as u64) as usize];
        match self.roll(16) {
            0 => self.create(stream),
            1 if self.roll(3) == 0 => {
                let id = self.roll(6) as i64;
                self.world.cancel(stream, id);
            }
            2 if self.roll(12) == 0 => {
                self.world.close(stream);
                self.clients.remove(&stream);
                return;
            }
            3 | 4 => self.world.request_progress(stream),
            5 => self.world.tick(stream),
            6..=8 => {
                self.world.join(stream);
            }
            9 | 10 => {
                self.world.read(stream);
            }
            11 => self.world.settle(stream),
            _ => {
                self.world.receive(stream);
            }
        }
        self.check(stream);
    }

    fn create(&mut self, stream: StreamId) {
        let key = self.key();
        let range_end = match self.roll(4) {
            0 | 1 => Bytes::new(),
            2 => Bytes::from_static(b"\0"),
            _ => self.key(),
        };
        let now = self.world.now().0;
        let start_revision = match self.roll(4) {
            0 => 0,
            1 => now + self.roll(8) as i64,
            _ => (now - self.roll(20) as i64).max(1),
        };
        let request = WatchCreateRequest {
            key: key.clone(),
            range_end: range_end.clone(),
            start_revision,
            progress_notify: self.roll(2) == 0,
            prev_kv: self.roll(2) == 0,
            filters: (0..2).filter(|_| self.roll(6) == 0).collect(),
            fragment: self.roll(3) == 0,
            ..WatchCreateRequest::default()
        };
        self.world.create(stream, request.clone());
        let responses = self.world.responses(stream);
        let ack = &responses[0];
        assert!(ack.created, "run {}", self.number);
        match of_request(&key, &range_end) {
            None => assert!(ack.canceled && ack.watch_id == -1),
            Some(range) => {
                let watcher = Watcher {
                    range,
                    start: if start_revision == 0 {
                        now + 1
                    } else {
                        start_revision
                    },
                    no_put: request.filters.contains(&0),
                    no_delete: request.filters.contains(&1),
                    prev_kv: request.prev_kv,
                    may_fragment: request.fragment,
                    seen: Vec::new(),
                    complete_to: 0,
                    in_fragments: false,
                };
                let watchers = self.clients.get_mut(&stream).expect("it is open");
                let before = watchers.insert(ack.watch_id, watcher);
                assert!(
                    before.is_none(),
                    "run {}: an id was given twice",
                    self.number
                );
            }
        }
        for response in &responses[1..] {
            self.check_response(stream, response);
        }
    }

    fn check(&mut self, stream: StreamId) {
        for response in self.world.responses(stream) {
            self.check_response(stream, &response);
        }
    }

    fn check_response(&mut self, stream: StreamId, response: &WatchResponse) {
        let number = self.number;
        let revision = response.header.expect("there is one").revision;
        let watchers = self.clients.get_mut(&stream).expect("it is open");
        if response.canceled {
            let watcher = watchers.remove(&response.watch_id).expect("it was there");
            if response.compact_revision > 0 {
                assert_eq!(revision, 0);
                self.ended_by_compaction += 1;
                let expected = expected(&self.world, &watcher);
                assert!(
                    expected.starts_with(&watcher.seen),
                    "run {number}: before a compaction"
                );
            }
            return;
        }
        if response.events.is_empty() {
            self.progressed += 1;
            for (&id, watcher) in watchers {
                if response.watch_id == -1 || response.watch_id == id {
                    check_progress(&self.world, watcher, revision, number);
                }
            }
            return;
        }
        let watcher = watchers
            .get_mut(&response.watch_id)
            .expect("responses are for watchers");
        self.seen += response.events.len();
        for event in &response.events {
            let kv = event.kv.as_ref().expect("events have keys");
            assert!(
                kv.mod_revision > watcher.complete_to,
                "run {number}: progress overtook"
            );
            assert!(
                kv.mod_revision <= revision,
                "run {number}: the header is behind"
            );
            check_previous(&self.world, watcher, event, number);
            watcher.seen.push((
                kv.mod_revision,
                event.r#type() == EventType::Delete,
                kv.key.clone(),
            ));
        }
        let expected = expected(&self.world, watcher);
        assert!(
            expected.starts_with(&watcher.seen),
            "run {number}: watcher {} has seen {:?} of {expected:?}",
            response.watch_id,
            watcher.seen
        );
        assert!(watcher.may_fragment || !response.fragment);
        if check_size(response, watcher.may_fragment, &self.settings, number) > 1 {
            self.packed += 1;
        }
        watcher.in_fragments = response.fragment;
        let last = watcher.seen.last().expect("some").0;
        let cut = expected
            .get(watcher.seen.len())
            .is_some_and(|next| next.0 == last);
        assert!(
            !cut || watcher.in_fragments,
            "run {number}: revision {last} was cut"
        );
    }

    fn writes(&mut self) -> Vec<Write> {
        let mut writes: Vec<Write> = Vec::new();
        for _ in 0..=self.roll(3) {
            let key = self.key();
            if writes.iter().all(|(other, _)| *other != key) {
                let value = (self.roll(4) > 0).then(|| Bytes::from_static(b"value"));
                writes.push((key, value));
            }
        }
        writes
    }

    fn key(&mut self) -> Bytes {
        Bytes::from(vec![b'a' + self.roll(6) as u8])
    }

    /// A number below `sides` (xorshift, with a multiplication for the low bits).
    fn roll(&mut self, sides: u64) -> u64 {
        self.seed ^= 0x2545_f491_4f6c_dd1d;
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % sides
    }
}

/// Checks that a response keeps to the limits, unless it is a single revision, or a single event of
/// a fragment. Returns the number of its revisions.
fn check_size(
    response: &WatchResponse,
    may_fragment: bool,
    settings: &Settings,
    number: u64,
) -> usize {
    let of = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
    let mut revisions: Vec<i64> = response.events.iter().map(of).collect();
    revisions.dedup();
    assert!(
        revisions.len() <= settings.pack_revisions_max,
        "run {number}"
    );
    let only_events = WatchResponse {
        events: response.events.clone(),
        ..WatchResponse::default()
    };
    let (bytes_max, is_alone) = match may_fragment {
        true => (settings.fragment_bytes, response.events.len() == 1),
        false => (settings.response_bytes_max, revisions.len() == 1),
    };
    let bytes = only_events.encoded_len();
    assert!(
        bytes <= bytes_max || is_alone,
        "run {number}: {bytes} bytes"
    );
    revisions.len()
}

/// Checks that a previous value is correct, and present if it was requested and can still be read.
/// It may be present a little longer, in events encoded before the compaction.
fn check_previous(world: &World, watcher: &Watcher, event: &Event, number: u64) {
    let kv = event.kv.as_ref().expect("events have keys");
    let at = usize::try_from(kv.mod_revision - 2).expect("the first write is revision 2");
    let mut changes = world.history[at].changes.iter();
    let change = changes.find(|change| change.kv.key == kv.key);
    let previous = &change.expect("the event happened").prev;
    if watcher.prev_kv && kv.mod_revision > world.compacted().0 {
        assert_eq!(event.prev_kv, *previous, "run {number}");
    } else if event.prev_kv.is_some() {
        assert!(
            watcher.prev_kv && event.prev_kv == *previous,
            "run {number}"
        );
    }
}

/// Checks that everything up to `revision` has been sent.
fn check_progress(world: &World, watcher: &mut Watcher, revision: i64, number: u64) {
    let due = expected(world, watcher)
        .iter()
        .filter(|(at, ..)| *at <= revision)
        .count();
    assert!(
        watcher.seen.len() >= due,
        "run {number}: progress to {revision} is premature"
    );
    assert!(
        !watcher.in_fragments,
        "run {number}: progress between fragments"
    );
    watcher.complete_to = watcher.complete_to.max(revision);
}

/// The events the watcher must have received, from its start to now.
fn expected(world: &World, watcher: &Watcher) -> Vec<Seen> {
    let later = world
        .history
        .iter()
        .filter(|changes| changes.revision.0 >= watcher.start);
    let changes = later.flat_map(|changes| &changes.changes);
    changes
        .map(|change| {
            let is_delete = change.kind == ChangeKind::Delete;
            (change.kv.mod_revision, is_delete, change.kv.key.clone())
        })
        .filter(|(_, is_delete, key)| {
            let filtered = if *is_delete {
                watcher.no_delete
            } else {
                watcher.no_put
            };
            !filtered && watcher.range.contains(key)
        })
        .collect()
}
