//! The world of the tests; see the parent module.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use conclave_proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchResponse};
use conclave_proto::mvccpb::KeyValue;
use conclave_storage::Revision;
use conclave_storage::machine::{Change, ChangeKind, Changes};
use prost::Message as _;
use tokio::sync::oneshot;

use crate::watch::hub::{Command, Hub, Registered, StreamId, Turned};
use crate::watch::queue::{self, Mark, Message, QueueReader};
use crate::watch::response::EncodedWatchResponse;
use crate::watch::ring::{Found, ReadMax, Ring};
use crate::watch::session::{Limits, Session};
use crate::watch::{Settings, lock};

/// A write: a key and its new value, or its deletion.
pub(super) type Write = (Bytes, Option<Bytes>);

/// A store's history with its ring, hub and streams.
pub(super) struct World {
    settings: Settings,
    ring: Mutex<Ring>,
    hub: Hub,
    keys: BTreeMap<Bytes, KeyValue>,
    /// All changes, from revision 2 on, compacted or not.
    pub(super) history: Vec<Arc<Changes>>,
    compacted: Revision,
    streams: BTreeMap<StreamId, Stream>,
}

/// The state of `stream.rs`, without the waiting.
struct Stream {
    session: Session,
    queue: QueueReader,
    newest_first: bool,
}

impl World {
    pub(super) fn settings() -> Settings {
        Settings::new(1 << 20, Duration::from_secs(600))
    }

    pub(super) fn new(settings: Settings) -> World {
        World {
            settings,
            ring: Mutex::new(Ring::new(settings.ring_bytes_max, Revision::EMPTY_STORE)),
            hub: Hub::new(Revision::EMPTY_STORE, &settings),
            keys: BTreeMap::new(),
            history: Vec::new(),
            compacted: Revision(-1),
            streams: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Revision {
        self.history
            .last()
            .map_or(Revision::EMPTY_STORE, |changes| changes.revision)
    }

    /// Adds one revision to the ring.
    pub(super) fn write(&mut self, writes: &[Write]) {
        let changes = self.apply(writes);
        lock(&self.ring).push(&[changes], self.now());
    }

    /// Adds revisions that come with a snapshot from the leader, without events.
    pub(super) fn install(&mut self, revisions: &[Vec<Write>]) {
        for writes in revisions {
            self.apply(writes);
        }
        lock(&self.ring).push(&[], self.now());
    }

    /// Moves the compact revision forward to `at`, if it is lower.
    pub(super) fn compact(&mut self, at: Revision) {
        self.compacted = self.compacted.max(at);
        lock(&self.ring).compact(at);
    }

    pub(super) fn compacted(&self) -> Revision {
        self.compacted
    }

    fn apply(&mut self, writes: &[Write]) -> Arc<Changes> {
        let revision = self.now().next();
        let mut changes = Vec::new();
        for (key, value) in writes {
            let prev = self.keys.remove(key);
            let kv = KeyValue {
                key: key.clone(),
                mod_revision: revision.0,
                ..KeyValue::default()
            };
            let (kind, kv) = match value {
                Some(value) => {
                    let kv = KeyValue {
                        value: value.clone(),
                        ..kv
                    };
                    self.keys.insert(key.clone(), kv.clone());
                    (ChangeKind::Put, kv)
                }
                None => (ChangeKind::Delete, kv),
            };
            changes.push(Change { kind, kv, prev });
        }
        let bytes = writes
            .iter()
            .map(|(k, v)| 20 + k.len() + v.as_ref().map_or(0, Bytes::len))
            .sum();
        let changes = Arc::new(Changes {
            revision,
            changes,
            bytes,
        });
        self.history.push(Arc::clone(&changes));
        changes
    }

    /// Runs the hub until it has nothing to do.
    pub(super) fn run_hub(&mut self) {
        while self.hub.turn([], false, &self.ring) == Turned::More {}
    }

    pub(super) fn open(&mut self, id: StreamId) {
        let (queue, reader) = queue::queue(&self.settings);
        self.hub
            .command(Command::Open { stream: id, queue }, &self.ring);
        let stream = Stream {
            session: Session::new(Limits::new(&self.settings)),
            queue: reader,
            newest_first: false,
        };
        self.streams.insert(id, stream);
    }

    pub(super) fn close(&mut self, id: StreamId) {
        self.streams.remove(&id).expect("it is open");
        self.hub.command(Command::Close { stream: id }, &self.ring);
    }

    pub(super) fn create(&mut self, id: StreamId, request: WatchCreateRequest) {
        let (now, compacted) = (self.now(), self.compacted);
        self.stream(id).session.create(request, now, compacted);
    }

    pub(super) fn cancel(&mut self, id: StreamId, watch_id: i64) {
        let now = self.now();
        if let Some(tag) = self.stream(id).session.cancel(watch_id, now) {
            self.hub
                .command(Command::Forget { stream: id, tag }, &self.ring);
        }
    }

    pub(super) fn request_progress(&mut self, id: StreamId) {
        let mark = self.stream(id).session.request_progress();
        self.send_mark(id, mark);
    }

    pub(super) fn tick(&mut self, id: StreamId) {
        let mark = self.stream(id).session.tick();
        self.send_mark(id, mark);
    }

    fn send_mark(&mut self, id: StreamId, mark: Option<Mark>) {
        if let Some(mark) = mark {
            let at_least = self.now();
            self.hub.command(
                Command::Mark {
                    stream: id,
                    mark,
                    at_least,
                },
                &self.ring,
            );
        }
    }

    /// Offers the lagging watchers to the hub. Returns how many it accepted, and how many not.
    pub(super) fn join(&mut self, id: StreamId) -> (usize, usize) {
        let now = self.now();
        let watchers = self.stream(id).session.registrations(now);
        if watchers.is_empty() {
            return (0, 0);
        }
        let asked: Vec<_> = watchers.iter().map(|watcher| watcher.tag).collect();
        let (answer, mut answered) = oneshot::channel();
        self.hub.command(
            Command::Register {
                stream: id,
                watchers,
                answer,
            },
            &self.ring,
        );
        let registered: Registered = answered.try_recv().expect("the hub answers at once");
        self.stream(id).session.registered(&asked, &registered);
        (
            asked.len() - registered.refused.len(),
            registered.refused.len(),
        )
    }

    /// The stream takes one message from its queue, if there is one. Returns its description.
    pub(super) fn receive(&mut self, id: StreamId) -> Option<String> {
        let now = self.now();
        let stream = self.stream(id);
        let message = stream.queue.try_recv()?;
        Some(match message {
            Message::Deliveries(deliveries) => {
                stream.session.deliver(&deliveries, now);
                "deliveries".to_owned()
            }
            Message::Replay(deliveries) => {
                stream.session.replay(&deliveries, now);
                "replay".to_owned()
            }
            Message::Mark { mark, revision } => {
                stream.session.reach(mark, revision);
                format!("mark at {revision}")
            }
            Message::Behind { epoch, from } => {
                stream.session.fall_behind(epoch, from);
                format!("behind from {from}")
            }
        })
    }

    /// Reads one step of history for the lagging watchers. Returns what was read, and whether it
    /// was the last step.
    pub(super) fn read(&mut self, id: StreamId) -> Option<(String, bool)> {
        let stream = self.stream(id);
        let (oldest, newest) = stream.session.needed()?;
        let from = if stream.newest_first { newest } else { oldest };
        stream.newest_first = !stream.newest_first;
        let max = ReadMax {
            revisions: 1000,
            bytes: self.settings.step_bytes_max,
        };
        let found = lock(&self.ring).read(from, max);
        let (source, changes) = match found {
            Found::UpToDate => {
                let now = self.now();
                self.stream(id).session.end_step(false, now);
                return Some(("nothing newer".to_owned(), true));
            }
            Found::Changes(changes, _) => ("ring", changes),
            Found::Overrun(_) if from < self.compacted => {
                let (compacted, now) = (self.compacted, self.now());
                self.stream(id).session.compact(compacted, now);
                return Some((format!("compacted at {compacted}"), false));
            }
            Found::Overrun(_) => ("disk", self.read_disk(from)),
        };
        let next = changes.last().expect("something was found").revision.next();
        let now = self.now();
        let (is_last, compacted) = (next > now, self.compacted);
        let session = &mut self.stream(id).session;
        session.feed(from, next, &changes, (now, compacted));
        session.end_step(!is_last, now);
        Some((format!("{source} {from}..{next}"), is_last))
    }

    fn read_disk(&self, from: Revision) -> Vec<Arc<Changes>> {
        let mut bytes = 0;
        let later = self
            .history
            .iter()
            .filter(|changes| changes.revision >= from);
        let step = later.take_while(|changes| {
            let fits = bytes < self.settings.step_bytes_max;
            bytes += changes.bytes;
            fits
        });
        step.cloned().collect()
    }

    /// Runs a stream until nothing is left to do.
    pub(super) fn settle(&mut self, id: StreamId) {
        self.run_hub();
        loop {
            while self.receive(id).is_some() {}
            self.join(id);
            self.run_hub();
            while self.receive(id).is_some() {}
            loop {
                match self.read(id) {
                    None => return,
                    Some((_, true)) => break,
                    Some((_, false)) => {}
                }
            }
        }
    }

    /// The responses since the last call, as a client decodes them.
    pub(super) fn responses(&mut self, id: StreamId) -> Vec<WatchResponse> {
        let responses = self.stream(id).session.take_responses();
        let decode = |response| {
            let mut bytes = Vec::new();
            let encoded = EncodedWatchResponse {
                header: ResponseHeader::default(),
                response,
            };
            let revision = encoded.response.revision;
            let header = ResponseHeader {
                revision: revision.0,
                ..ResponseHeader::default()
            };
            EncodedWatchResponse { header, ..encoded }.encode(&mut bytes);
            WatchResponse::decode(&bytes[..]).expect("what was encoded can be decoded")
        };
        responses.into_iter().map(decode).collect()
    }

    fn stream(&mut self, id: StreamId) -> &mut Stream {
        self.streams.get_mut(&id).expect("the test opened it")
    }
}
