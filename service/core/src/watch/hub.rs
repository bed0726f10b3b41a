//! The owner of all live watchers: takes each revision from the ring, finds whom it concerns, hands
//! it on.
//!
//! A stream is told of a whole batch of revisions in one message, so its task wakes once, and the
//! hub never waits for anyone: a queue is filled with `try_send` or not at all.
//!
//! # Overflow
//!
//! When a stream's queue is full, the hub drops every registration of that stream and says so in
//! the queue: `Behind { from }`, complete below `from`, nothing after. That message needs a place
//! in a full queue, so the last place is reserved for it. The invariant: **a stream with
//! registrations has a free place in its queue.** Ordinary messages take a place only if another
//! remains; a registration is refused if not two are free; `Behind` takes the reserved place and
//! leaves no registrations.
//!
//! Registrations of one stream between two overflows form an *epoch*, by number. A watcher
//! registered after a `Behind` that its stream has not yet read is of the next epoch, and is not
//! concerned by it.
//!
//! # Joining
//!
//! A registration names the revision it begins at. The hub first hands on all there is. If the
//! revision is still to come, the watcher is in the index and skipped until then. If it has passed
//! but a short tail of the ring holds it, the tail is matched for this watcher alone, and put into
//! the queue ahead of what follows. Otherwise it is refused, and the stream reads on in history.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, Mutex};

use conclave_storage::Revision;
use conclave_storage::machine::Changes;
use tokio::sync::oneshot;

use super::events::{Encoded, Matcher, View};
use super::index::{Index, KeyRange, MemberId};
use super::queue::{Content, Delivery, Mark, Message, Queue, Tag};
use super::ring::{Found, ReadMax, Ring};
use super::slots::Slots;
use super::{Settings, lock};

/// Revisions matched at a time, and their bytes: a few milliseconds of work, after which others
/// run.
const BATCH_MAX: ReadMax = ReadMax {
    revisions: 256,
    bytes: 1 << 20,
};

/// A stream's name at the hub, unique in the process.
pub(crate) type StreamId = u64;

/// In which form a watcher takes its revisions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Matching events, encoded.
    Events(View),
    /// The whole revision as the machine made it, if anything in it matches.
    Whole,
}

/// A watcher, as the hub needs to know it.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) tag: Tag,
    pub(crate) range: KeyRange,
    pub(crate) form: Form,
    /// The first revision wanted.
    pub(crate) from: Revision,
}

/// The hub's answer to registrations: all were taken, but for these.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) epoch: u64,
    pub(crate) refused: Vec<Tag>,
}

/// What streams ask of the hub.
#[derive(Debug)]
pub(crate) enum Command {
    /// There is a new stream.
    Open { stream: StreamId, queue: Queue },
    /// Deliver to these watchers.
    Register {
        stream: StreamId,
        watchers: Vec<Registration>,
        answer: oneshot::Sender<Registered>,
    },
    /// No longer deliver to this one. It may not be registered.
    Forget { stream: StreamId, tag: Tag },
    /// Answer with a mark once all of `at_least` was delivered.
    Mark {
        stream: StreamId,
        mark: Mark,
        at_least: Revision,
    },
    /// The stream is gone.
    Close { stream: StreamId },
}

/// See the module. Synchronous; `super::run` drives it.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Every revision up to this one was matched and handed on.
    position: Revision,
    index: Index<Member>,
    matcher: Matcher,
    streams: Slots<Stream>,
    places: HashMap<StreamId, u32>,
    outgoing: Outgoing,
    /// Marks that wait for a revision.
    marks: Vec<(StreamId, Mark, Revision)>,
    /// The longest tail replayed to one that joins.
    replay_max: ReadMax,
}

#[derive(Debug)]
struct Stream {
    queue: Queue,
    epoch: u64,
    registered: BTreeMap<Tag, MemberId>,
}

/// A registration in the index.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// The stream's place.
    stream: u32,
    tag: Tag,
    form: Form,
    from: Revision,
}

/// What is to be sent to each stream, by its place. The list of those with something to send keeps
/// the order in which the first of it was found.
#[derive(Debug, Default)]
struct Outgoing {
    batches: Vec<Batch>,
    touched: Vec<u32>,
}

#[derive(Debug, Default)]
struct Batch {
    deliveries: Vec<Delivery>,
    bytes: usize,
}

impl Outgoing {
    fn push(&mut self, stream: u32, delivery: Delivery) {
        let place = stream as usize;
        if self.batches.len() <= place {
            self.batches.resize_with(place + 1, Batch::default);
        }
        let batch = &mut self.batches[place];
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

    fn take(&mut self, stream: u32) -> Batch {
        mem::take(&mut self.batches[stream as usize])
    }
}

impl Hub {
    /// A hub for a ring whose newest revision is `position`.
    pub(crate) fn new(position: Revision, settings: &Settings) -> Hub {
        Hub {
            position,
            index: Index::default(),
            matcher: Matcher::default(),
            streams: Slots::default(),
            places: HashMap::new(),
            outgoing: Outgoing::default(),
            marks: Vec::new(),
            replay_max: ReadMax {
                revisions: BATCH_MAX.revisions,
                bytes: settings.queue_bytes_max / 2,
            },
        }
    }

    /// Does what a stream asks.
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
                // The stream may have gone meanwhile; its `Close` is on the way.
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

    /// Hands on the next batch of the ring. Returns whether there may be more.
    pub(crate) fn advance(&mut self, ring: &Mutex<Ring>) -> bool {
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

    /// Hands on all that is in the ring now. A watcher that joins then gets what it missed in one
    /// go, and not part of it as if it happened after.
    fn reach_newest(&mut self, ring: &Mutex<Ring>) {
        let newest = lock(ring).newest();
        while self.position < newest {
            self.advance(ring);
        }
    }

    /// Closes the streams that are gone and could not say so.
    pub(crate) fn sweep(&mut self) {
        let streams = &self.streams;
        let is_gone = |place: u32| {
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

    /// Sends those of `watchers` that begin at or below the position what they missed. Returns
    /// those for whom that cannot be done, in the same order.
    fn replay(&mut self, place: u32, watchers: &[Registration], ring: &Mutex<Ring>) -> Vec<Tag> {
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
        let mut index = Index::default();
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
            // This may take the last ordinary place; what is reserved stays free.
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
                // A stream whose queue is full is not in step, and gets no answer.
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

    /// See "Overflow".
    fn drop_registrations(&mut self, place: u32, from: Revision) {
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

/// Gathers, for the members of `index`, what each revision has for them.
fn collect(
    index: &Index<Member>,
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
