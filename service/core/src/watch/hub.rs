//! The owner of all live watchers: takes each revision from the ring, finds the watchers that
//! match, and delivers the events.
//!
//! The hub sends a whole batch of revisions to a stream in one message, so that the stream's task
//! wakes once. The hub never waits: it fills a queue by `try_send`, or not at all.
//!
//! # Overflow
//!
//! When a stream's queue is full, the hub drops every registration of that stream and reports it in
//! the queue: `Behind { from }` means complete below `from`, and nothing follows. That message
//! needs a slot in a full queue, so the last slot is reserved for it. The invariant: **a stream
//! with registrations has a free slot in its queue.** Ordinary messages take a slot only if another
//! remains free; a registration is refused unless two are free; `Behind` takes the reserved slot
//! and leaves no registrations.
//!
//! Registrations of one stream between two overflows form a numbered *epoch*. A watcher registered
//! after a `Behind` that its stream has not yet read belongs to the next epoch, and that `Behind`
//! does not affect it.
//!
//! # Joining
//!
//! A registration contains the revision it begins at. The hub first delivers everything in the
//! ring. If the revision is still to come, the watcher goes into the index and is skipped until
//! then. If the revision has passed but a short tail of the ring holds it, the tail is matched for
//! this watcher alone, and put into the queue ahead of later events. Otherwise the registration is
//! refused, and the stream continues to read history.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex};

use conclave_storage::machine::Changes;
use conclave_storage::{KeyRange, Revision};
use slab::Slab;
use tokio::sync::oneshot;

use super::events::{Encoded, Matcher, View};
use super::index::{Slot, WatcherIndex};
use super::queue::{Content, Delivery, Mark, Message, Queue, Tag};
use super::ring::{Found, ReadMax, Ring};
use super::{Settings, lock};

/// Largest number of revisions matched at a time, and their bytes: a few milliseconds of work,
/// after which other tasks run.
const BATCH_MAX: ReadMax = ReadMax {
    revisions: 256,
    bytes: 1 << 20,
};

/// Identifier of a stream at the hub, unique in the process.
pub(crate) type StreamId = u64;

/// Form in which a watcher receives its revisions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Encoded matching events.
    Events(View),
    /// The whole revision as the state machine produced it, if anything in it matches.
    Whole,
}

/// Registration of a watcher with the hub.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) tag: Tag,
    pub(crate) range: KeyRange,
    pub(crate) form: Form,
    /// First revision that the watcher wants.
    pub(crate) from: Revision,
}

/// The hub's answer to registrations: all were accepted except `refused`.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) epoch: u64,
    pub(crate) refused: Vec<Tag>,
}

/// Commands from streams to the hub.
#[derive(Debug)]
pub(crate) enum Command {
    /// Opens a new stream.
    Open { stream: StreamId, queue: Queue },
    /// Registers watchers.
    Register {
        stream: StreamId,
        watchers: Vec<Registration>,
        answer: oneshot::Sender<Registered>,
    },
    /// Removes a watcher, which may be unregistered.
    Forget { stream: StreamId, tag: Tag },
    /// Requests a mark once everything up to `at_least` was delivered.
    Mark {
        stream: StreamId,
        mark: Mark,
        at_least: Revision,
    },
    /// Closes a stream.
    Close { stream: StreamId },
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// There was nothing to do.
    Idle,
    /// Everything is done: the next turn is due when a command or a revision comes.
    Done,
    /// The ring may have more revisions: the next turn is due at once.
    More,
}

/// Owner of all live watchers. Synchronous; [`super::HubOwner`] gives it its turns.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Last revision that was matched and delivered.
    position: Revision,
    index: WatcherIndex<Member>,
    matcher: Matcher,
    streams: Slab<Stream>,
    /// Slots of the streams. Ordered, because a sweep goes through them.
    places: BTreeMap<StreamId, usize>,
    outgoing: Outgoing,
    /// Marks that wait for a revision.
    marks: Vec<(StreamId, Mark, Revision)>,
    /// Largest tail of the ring that is replayed to a joining watcher.
    replay_max: ReadMax,
}

#[derive(Debug)]
struct Stream {
    queue: Queue,
    epoch: u64,
    registered: BTreeMap<Tag, Slot>,
}

/// A registration in the index.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Slot of the stream in `Hub::streams`.
    stream: usize,
    tag: Tag,
    form: Form,
    from: Revision,
}

/// Deliveries to send to each stream, by slot. The list of streams with deliveries keeps the order
/// in which their first delivery was found.
#[derive(Debug, Default)]
struct Outgoing {
    batches: Vec<Batch>,
    touched: Vec<usize>,
}

#[derive(Debug, Default)]
struct Batch {
    deliveries: Vec<Delivery>,
    bytes: usize,
}

impl Outgoing {
    fn push(&mut self, stream: usize, delivery: Delivery) {
        if self.batches.len() <= stream {
            self.batches.resize_with(stream + 1, Batch::default);
        }
        let batch = &mut self.batches[stream];
        match batch.deliveries.last() {
            None => {
                self.touched.push(stream);
                batch.bytes = delivery.content.bytes();
            }
            Some(last) if last.content.is_same(&delivery.content) => {}
            Some(_) => batch.bytes += delivery.content.bytes(),
        }
        batch.bytes += mem::size_of::<Delivery>();
        batch.deliveries.push(delivery);
    }

    fn take(&mut self, stream: usize) -> Batch {
        mem::take(&mut self.batches[stream])
    }
}

impl Hub {
    /// Creates a hub for a ring whose newest revision is `position`.
    pub(crate) fn new(position: Revision, settings: &Settings) -> Hub {
        Hub {
            position,
            index: WatcherIndex::default(),
            matcher: Matcher::default(),
            streams: Slab::new(),
            places: BTreeMap::new(),
            outgoing: Outgoing::default(),
            marks: Vec::new(),
            replay_max: ReadMax {
                revisions: BATCH_MAX.revisions,
                bytes: settings.queue_bytes_max / 2,
            },
        }
    }

    /// Runs these commands, then delivers the next batch of the ring. Never blocks. What the turn
    /// sends is in the queues of the streams when it returns.
    pub(crate) fn turn(
        &mut self,
        commands: impl IntoIterator<Item = Command>,
        must_sweep: bool,
        ring: &Mutex<Ring>,
    ) -> Turned {
        let before = self.position;
        let mut has_run = must_sweep;
        for command in commands {
            self.command(command, ring);
            has_run = true;
        }
        if must_sweep {
            self.sweep();
        }
        match self.advance(ring) {
            true => Turned::More,
            false if has_run || self.position != before => Turned::Done,
            false => Turned::Idle,
        }
    }

    /// Runs a command from a stream.
    pub(crate) fn command(&mut self, command: Command, ring: &Mutex<Ring>) {
        match command {
            Command::Open { stream, queue } => {
                let opened = Stream {
                    queue,
                    epoch: 0,
                    registered: BTreeMap::new(),
                };
                let place = self.streams.insert(opened);
                self.places.insert(stream, place);
            }
            Command::Register {
                stream,
                watchers,
                answer,
            } => {
                self.reach_newest(ring);
                let registered = self.register(stream, watchers, ring);
                // The stream may have ended meanwhile; its `Close` follows.
                let _ = answer.send(registered);
            }
            Command::Forget { stream, tag } => {
                let stream = self
                    .places
                    .get(&stream)
                    .and_then(|&at| self.streams.get_mut(at));
                if let Some(member) = stream.and_then(|stream| stream.registered.remove(&tag)) {
                    self.index.remove(member);
                }
            }
            Command::Mark {
                stream,
                mark,
                at_least,
            } => {
                self.marks.push((stream, mark, at_least));
            }
            Command::Close { stream } => self.close(stream),
        }
    }

    /// Delivers the next batch of the ring. Returns true if there may be more.
    fn advance(&mut self, ring: &Mutex<Ring>) -> bool {
        let (found, compacted) = {
            let ring = lock(ring);
            (ring.read(self.position.next(), BATCH_MAX), ring.compacted())
        };
        let more = match found {
            Found::UpToDate => false,
            Found::Overrun(newest) => {
                let from = self.position.next();
                let places: Vec<_> = self.streams.iter().map(|(place, _)| place).collect();
                places
                    .into_iter()
                    .for_each(|place| self.drop_registrations(place, from));
                self.position = newest;
                true
            }
            Found::Changes(changes, all) => {
                self.deliver(&changes, compacted);
                !all
            }
        };
        self.answer_marks();
        more
    }

    /// Delivers everything that is in the ring now. A joining watcher then gets all events it
    /// missed in one message, instead of some of them as if they happened later.
    fn reach_newest(&mut self, ring: &Mutex<Ring>) {
        let newest = lock(ring).newest();
        while self.position < newest {
            self.advance(ring);
        }
    }

    /// Closes the streams that ended without a `Close` command.
    fn sweep(&mut self) {
        let streams = &self.streams;
        let is_gone = |place: usize| {
            streams
                .get(place)
                .is_none_or(|stream| stream.queue.is_closed())
        };
        let gone: Vec<_> = self
            .places
            .iter()
            .filter(|&(_, &place)| is_gone(place))
            .map(|(&id, _)| id)
            .collect();
        gone.into_iter().for_each(|stream| self.close(stream));
    }

    fn deliver(&mut self, changes: &[Arc<Changes>], compacted: Revision) {
        let first = changes.first().expect("a read finds at least one").revision;
        let last = changes.last().expect("a read finds at least one").revision;
        let mut outgoing = mem::take(&mut self.outgoing);
        let matcher = &mut self.matcher;
        collect(&self.index, matcher, changes, compacted, &mut outgoing);
        for place in mem::take(&mut outgoing.touched) {
            let Batch { deliveries, bytes } = outgoing.take(place);
            let stream = self
                .streams
                .get(place)
                .expect("members are of open streams");
            if !stream.queue.offer(Message::Deliveries(deliveries), bytes) {
                self.drop_registrations(place, first);
            }
        }
        self.outgoing = outgoing;
        self.position = last;
    }

    fn register(
        &mut self,
        stream: StreamId,
        watchers: Vec<Registration>,
        ring: &Mutex<Ring>,
    ) -> Registered {
        let refuse_all = |epoch, watchers: &[Registration]| Registered {
            epoch,
            refused: watchers.iter().map(|watcher| watcher.tag).collect(),
        };
        let Some(&place) = self.places.get(&stream) else {
            return refuse_all(0, &watchers);
        };
        let stream = self.streams.get(place).expect("a known stream has a place");
        let epoch = stream.epoch;
        if !stream.queue.has_room() {
            return refuse_all(epoch, &watchers);
        }
        let refused = self.replay(place, &watchers, ring);
        let stream = self.streams.get_mut(place).expect("it was there");
        let mut refusals = refused.iter().peekable();
        for watcher in watchers {
            let Registration {
                tag,
                range,
                form,
                from,
            } = watcher;
            if refusals.next_if_eq(&&tag).is_some() {
                continue;
            }
            let from = from.max(self.position.next());
            let member = self.index.insert(
                range,
                Member {
                    stream: place,
                    tag,
                    form,
                    from,
                },
            );
            let before = stream.registered.insert(tag, member);
            assert!(before.is_none(), "a watcher is registered once");
        }
        Registered { epoch, refused }
    }

    /// Replays the missed events to the watchers in `watchers` that begin at or below the position.
    /// Returns the watchers for which that is impossible, in the same order.
    fn replay(&mut self, place: usize, watchers: &[Registration], ring: &Mutex<Ring>) -> Vec<Tag> {
        let position = self.position;
        let late = || {
            watchers
                .iter()
                .filter(move |watcher| watcher.from <= position)
        };
        if late().next().is_none() {
            return Vec::new();
        }
        let (tail, compacted) = {
            let ring = lock(ring);
            (ring.tail(position, self.replay_max), ring.compacted())
        };
        let oldest = tail
            .first()
            .map_or(position.next(), |changes| changes.revision);
        let mut index = WatcherIndex::default();
        for watcher in late().filter(|watcher| watcher.from >= oldest) {
            let Registration {
                tag,
                ref range,
                form,
                from,
            } = *watcher;
            index.insert(
                range.clone(),
                Member {
                    stream: 0,
                    tag,
                    form,
                    from,
                },
            );
        }
        let mut outgoing = Outgoing::default();
        if index.len() > 0 {
            let matcher = &mut Matcher::default();
            collect(&index, matcher, &tail, compacted, &mut outgoing);
        }
        let mut sent = true;
        if !outgoing.touched.is_empty() {
            let Batch { deliveries, bytes } = outgoing.take(0);
            // This may take the last ordinary slot; the reserved slot stays free.
            let stream = self.streams.get(place).expect("the caller found it");
            sent = stream.queue.offer(Message::Replay(deliveries), bytes);
        }
        late()
            .filter(|w| !sent || w.from < oldest)
            .map(|w| w.tag)
            .collect()
    }

    fn answer_marks(&mut self) {
        let Hub {
            marks,
            places,
            streams,
            position,
            ..
        } = self;
        marks.retain(|&(id, mark, at_least)| {
            if at_least > *position {
                return true;
            }
            if let Some(stream) = places.get(&id).and_then(|&place| streams.get(place)) {
                // A stream whose queue is full is behind, and gets no answer.
                stream.queue.offer(
                    Message::Mark {
                        mark,
                        revision: *position,
                    },
                    0,
                );
            }
            false
        });
    }

    /// Drops all registrations of a stream: see "Overflow".
    fn drop_registrations(&mut self, place: usize, from: Revision) {
        let stream = self.streams.get_mut(place).expect("the caller found it");
        if stream.registered.is_empty() {
            return;
        }
        for member in mem::take(&mut stream.registered).into_values() {
            self.index.remove(member);
        }
        stream.queue.say_behind(stream.epoch, from);
        stream.epoch += 1;
    }

    fn close(&mut self, stream: StreamId) {
        if let Some(place) = self.places.remove(&stream) {
            for member in self.streams.remove(place).registered.into_values() {
                self.index.remove(member);
            }
        }
    }
}

/// Collects the deliveries of each revision for the members of `index`.
fn collect(
    index: &WatcherIndex<Member>,
    matcher: &mut Matcher,
    changes: &[Arc<Changes>],
    compacted: Revision,
    outgoing: &mut Outgoing,
) {
    for changes in changes {
        let mut encoded = Encoded::new(changes, compacted);
        matcher.run(index, changes, |group, selection| {
            let mut selected = encoded.selected(selection);
            for member in index.members(group) {
                if member.from > changes.revision {
                    continue;
                }
                let content = match member.form {
                    Form::Whole => Content::Whole(Arc::clone(changes)),
                    Form::Events(view) => match selected.get(view) {
                        Some(events) => Content::Events(events),
                        None => continue,
                    },
                };
                outgoing.push(
                    member.stream,
                    Delivery {
                        tag: member.tag,
                        content,
                    },
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::queue;
    use super::*;

    #[test]
    fn a_turn_reports_whether_another_one_is_due() {
        let settings = Settings::new(1 << 20, Duration::from_secs(600));
        let ring = Mutex::new(Ring::new(1 << 20, Revision(1)));
        let mut hub = Hub::new(Revision(1), &settings);
        let stream = 7;
        let (queue, reader) = queue::queue(&settings);
        assert_eq!(hub.turn([], false, &ring), Turned::Idle);
        let open = Command::Open { stream, queue };
        assert_eq!(hub.turn([open], false, &ring), Turned::Done);
        for revision in 2..=300 {
            let revision = Revision(revision);
            let changes = Arc::new(Changes {
                revision,
                changes: Vec::new(),
                bytes: 1,
            });
            lock(&ring).push(&[changes], revision);
        }
        // More revisions than are matched at a time.
        assert_eq!(hub.turn([], false, &ring), Turned::More);
        assert_eq!(hub.turn([], false, &ring), Turned::Done);
        assert_eq!(hub.turn([], false, &ring), Turned::Idle);
        drop(reader);
        assert_eq!(hub.turn([], true, &ring), Turned::Done);
        assert!(hub.streams.is_empty(), "the sweep closed what had ended");
    }
}
