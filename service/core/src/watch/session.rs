//! All watchers of one stream: requests, deliveries and history in, responses out. Without I/O.
//!
//! [`Session`] makes the stream's decisions; `stream.rs` moves bytes and waits. Golden scripts
//! (`scripts/`) drive a session against a real hub and ring.
//!
//! Responses are collected in the order in which they must be sent, and none is withdrawn. The
//! acknowledgement of a create request is written when the request is read, and only then is the
//! watcher offered to the hub, so no event can precede the acknowledgement.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_proto::ApiError;
use conclave_proto::errors::cancel_reason;
use conclave_proto::etcdserverpb::WatchCreateRequest;
use conclave_storage::machine::Changes;
use conclave_storage::{KeyRange, Revision};
use slab::Slab;

use super::Settings;
use super::cursor::Cursor;
use super::events::{Encoded, Events, Matcher};
use super::hub::{Form, Registered, Registration};
use super::index::{self, WatcherIndex};
use super::pack::Packs;
use super::queue::{Content, Delivery, Mark, Tag};
use super::response::{NO_WATCHER, Response};

mod packing;

/// All watchers of one stream.
#[derive(Debug)]
pub(crate) struct Session {
    watchers: Slab<Watcher>,
    /// Generation of the last watcher. A slab uses a position again, and the hub may still have a
    /// message under way for the watcher that had it before.
    generation: u32,
    ids: BTreeMap<i64, Tag>,
    /// First id to try in the search for an unused id.
    next_id: i64,
    lagging: usize,
    /// Number of the last mark requested.
    marks: u64,
    limits: Limits,
    /// Events that were fed to lagging watchers and have no response yet.
    packs: Packs,
    /// Steps of history since the packs were last sent.
    packed_steps: usize,
    responses: Vec<Response>,
}

/// Limits of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Largest number of watchers.
    pub(crate) watchers_max: usize,
    /// A response with more bytes of events is fragmented, for watchers that allow it.
    pub(crate) fragment_bytes: usize,
    /// Largest number of revisions in one response.
    pub(crate) pack_revisions_max: usize,
    /// Bytes of events of several revisions in one response.
    pub(crate) response_bytes_max: usize,
    /// Bytes of events that the stream packs before it sends them; also the limit for all fragments
    /// of one response.
    pub(crate) pack_bytes_max: usize,
    /// Steps of history read before their events are sent.
    pub(crate) pack_steps_max: usize,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Limits {
        Limits {
            watchers_max: settings.watchers_per_stream_max,
            fragment_bytes: settings.fragment_bytes,
            pack_revisions_max: settings.pack_revisions_max,
            response_bytes_max: settings.response_bytes_max,
            pack_bytes_max: settings.pack_bytes_max,
            pack_steps_max: settings.pack_steps_max,
        }
    }
}

#[derive(Debug)]
struct Watcher {
    generation: u32,
    id: i64,
    cursor: Cursor,
}

impl Session {
    /// Creates a session without watchers.
    pub(crate) fn new(limits: Limits) -> Session {
        Session {
            watchers: Slab::new(),
            generation: 0,
            ids: BTreeMap::new(),
            next_id: 0,
            lagging: 0,
            marks: 0,
            limits,
            packs: Packs::default(),
            packed_steps: 0,
            responses: Vec::new(),
        }
    }

    /// Returns the number of watchers.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns the number of watchers that the hub does not serve.
    pub(crate) fn lagging(&self) -> usize {
        self.lagging
    }

    /// Returns the responses made since the last call.
    pub(crate) fn take_responses(&mut self) -> Vec<Response> {
        std::mem::take(&mut self.responses)
    }

    /// Processes a request to create a watcher, on a store at revision `now` that is compacted at
    /// `compacted`. The new watcher, if there is one, is lagging.
    pub(crate) fn create(
        &mut self,
        request: WatchCreateRequest,
        now: Revision,
        compacted: Revision,
    ) {
        if request.start_revision < 0 {
            return self.refuse(ApiError::Compacted.text(), now);
        }
        let Some(range) = index::of_request(&request.key, &request.range_end) else {
            return self.refuse(cancel_reason::RANGE_EMPTY, now);
        };
        if self.len() >= self.limits.watchers_max {
            return self.refuse(ApiError::RequestTooManyRequests.text(), now);
        }
        let Some(id) = self.choose_id(request.watch_id) else {
            return self.refuse(cancel_reason::DUPLICATE_ID, now);
        };
        let ack = Response {
            revision: now,
            watch_id: id,
            created: true,
            ..Response::default()
        };
        self.responses.push(ack);
        let cursor = Cursor::new(&request, range, now);
        // Compacted revisions cannot be followed. The compact revision itself can: all its events
        // still exist.
        if cursor.next() < compacted {
            return self.responses.push(compacted_away(id, compacted));
        }
        let tag = self.insert(id, cursor);
        self.ids.insert(id, tag);
        self.lagging += 1;
    }

    /// Refuses a request to create a watcher, on a store at revision `now`.
    pub(crate) fn refuse(&mut self, reason: impl Into<Cow<'static, str>>, now: Revision) {
        self.responses.push(Response {
            revision: now,
            watch_id: NO_WATCHER,
            created: true,
            canceled: true,
            cancel_reason: reason.into(),
            ..Response::default()
        });
    }

    /// Processes a request to cancel a watcher. Returns the tag that the hub must forget, or `None`
    /// if the id is unknown.
    pub(crate) fn cancel(&mut self, id: i64, now: Revision) -> Option<Tag> {
        self.ids
            .contains_key(&id)
            .then(|| self.end(id, "".into(), now))
    }

    /// Ends a watcher, with the reason if the client did not ask for it. Returns the tag that the
    /// hub must forget.
    ///
    /// # Panics
    /// If there is no such watcher.
    pub(crate) fn end(&mut self, id: i64, reason: Cow<'static, str>, now: Revision) -> Tag {
        let tag = self.ids[&id];
        self.send_packed(now);
        self.remove(tag);
        self.responses.push(Response {
            revision: now,
            watch_id: id,
            canceled: true,
            cancel_reason: reason,
            ..Response::default()
        });
        tag
    }

    /// Returns the watchers' ids and keys.
    pub(crate) fn ranges(&self) -> Vec<(i64, KeyRange)> {
        let watchers = self.watchers();
        watchers
            .map(|(_, watcher)| (watcher.id, watcher.cursor.range.clone()))
            .collect()
    }

    /// Returns the registrations of all lagging watchers. Sends their packed events first, since
    /// the hub's deliveries come after these.
    pub(crate) fn registrations(&mut self, now: Revision) -> Vec<Registration> {
        self.send_packed(now);
        let lagging = self
            .watchers()
            .filter(|(_, watcher)| watcher.cursor.is_lagging());
        lagging
            .map(|(tag, Watcher { cursor, .. })| Registration {
                tag,
                range: cursor.range.clone(),
                form: Form::Events(cursor.view),
                from: cursor.next(),
            })
            .collect()
    }

    /// Processes the hub's answer to the registrations of `asked`.
    pub(crate) fn registered(&mut self, asked: &[Tag], answer: &Registered) {
        let marks = self.marks;
        let mut refusals = answer.refused.iter().peekable();
        for &tag in asked {
            if refusals.next_if_eq(&&tag).is_some() {
                continue;
            }
            if let Some(watcher) = self.get_mut(tag) {
                watcher.cursor.become_live(answer.epoch, marks);
                self.lagging -= 1;
            }
        }
    }

    /// Processes deliveries from the hub, on a store at revision `now`. Each delivery gets its own
    /// response: etcd does so for watchers that keep up, and clients rely on it.
    pub(crate) fn deliver(&mut self, deliveries: &[Delivery], now: Revision) {
        for delivery in deliveries {
            if let Some(events) = self.due(delivery) {
                self.push_events(delivery.tag, now, std::slice::from_ref(events));
            }
        }
    }

    /// Processes the events that newly registered watchers missed before, on a store at revision
    /// `now`.
    pub(crate) fn replay(&mut self, deliveries: &[Delivery], now: Revision) {
        let mut packs = Packs::default();
        for delivery in deliveries {
            if let Some(events) = self.due(delivery) {
                self.pack(&mut packs, delivery.tag, Arc::clone(events), now);
            }
        }
        self.push_packs(packs, now);
    }

    /// Returns the events of a delivery if they are to be shown; they then count as shown.
    fn due<'a>(&mut self, Delivery { tag, content }: &'a Delivery) -> Option<&'a Arc<Events>> {
        let Content::Events(events) = content else {
            unreachable!("sessions register for events")
        };
        let cursor = &mut self.get_mut(*tag)?.cursor;
        (!cursor.is_lagging() && cursor.show(events.revision())).then_some(events)
    }

    /// Processes the hub's report that it dropped the registrations of an epoch.
    pub(crate) fn fall_behind(&mut self, epoch: u64, from: Revision) {
        let watchers = self.watchers.iter_mut();
        let fallen = watchers.map(|(_, watcher)| watcher.cursor.fall_behind(epoch, from));
        self.lagging += fallen.filter(|&fell| fell).count();
    }

    /// Returns the least and the greatest revision that a lagging watcher needs next.
    pub(crate) fn needed(&self) -> Option<(Revision, Revision)> {
        if self.lagging == 0 {
            return None;
        }
        let lagging = self.watchers().map(|(_, watcher)| &watcher.cursor);
        let needed = lagging
            .filter(|cursor| cursor.is_lagging())
            .map(Cursor::next);
        Some((needed.clone().min()?, needed.max()?))
    }

    /// Feeds a step of history, all of `from` up to but not including `to`, to the lagging watchers
    /// that can follow it, on a store at revision `now` that is compacted at `compacted`.
    pub(crate) fn feed(
        &mut self,
        from: Revision,
        to: Revision,
        changes: &[Arc<Changes>],
        (now, compacted): (Revision, Revision),
    ) {
        let mut index = WatcherIndex::default();
        let mut found: BTreeMap<Tag, Vec<Arc<Events>>> = BTreeMap::new();
        for (tag, Watcher { cursor, .. }) in self.watchers() {
            if cursor.can_follow(from) {
                index.insert(cursor.range.clone(), (tag, cursor.view));
                found.insert(tag, Vec::new());
            }
        }
        let mut matcher = Matcher::default();
        for changes in changes {
            let mut encoded = Encoded::new(changes, compacted);
            matcher.run(&index, changes, |group, selection| {
                let mut selected = encoded.selected(selection);
                for &(tag, view) in index.members(group) {
                    if let Some(events) = selected.get(view) {
                        found.entry(tag).or_default().push(events);
                    }
                }
            });
        }
        let mut packs = std::mem::take(&mut self.packs);
        for (tag, events) in found {
            for events in events {
                let watcher = self.get_mut(tag).expect("it was found among the watchers");
                if watcher.cursor.show(events.revision()) {
                    self.pack(&mut packs, tag, events, now);
                }
            }
            let watcher = self.get_mut(tag).expect("it was found among the watchers");
            watcher.cursor.advance(to);
        }
        self.packs = packs;
        self.packed_steps += 1;
    }

    /// Ends every lagging watcher that needs history before `compacted`, which is gone. Sends the
    /// events that were already found for it first.
    pub(crate) fn compact(&mut self, compacted: Revision, now: Revision) {
        self.send_packed(now);
        let gone: Vec<_> = self
            .watchers()
            .filter(|(_, w)| w.cursor.is_lagging() && w.cursor.next() < compacted)
            .map(|(tag, watcher)| (tag, watcher.id))
            .collect();
        for (tag, id) in gone {
            self.remove(tag);
            self.responses.push(compacted_away(id, compacted));
        }
    }

    /// Processes a client's request for progress. Returns the mark to request from the hub. Returns
    /// `None` if any watcher is lagging: then there is no answer, and the client will ask again.
    pub(crate) fn request_progress(&mut self) -> Option<Mark> {
        (self.len() > 0 && self.lagging == 0).then(|| self.next_mark(true))
    }

    /// Processes a timer tick. Returns the mark to request, if any watcher is due for progress.
    pub(crate) fn tick(&mut self) -> Option<Mark> {
        let mut due = false;
        for (_, watcher) in &mut self.watchers {
            due |= watcher.cursor.tick();
        }
        due.then(|| self.next_mark(false))
    }

    /// Processes the hub's answer to a mark: every event up to `revision` that was due when the
    /// mark was requested has been delivered to this stream.
    pub(crate) fn reach(&mut self, mark: Mark, revision: Revision) {
        let progress = |watch_id: i64| Response {
            revision,
            watch_id,
            ..Response::default()
        };
        if mark.manual {
            let all = self
                .watchers()
                .all(|(_, w)| w.cursor.covers(mark.number, revision));
            if all && self.len() > 0 {
                self.responses.push(progress(NO_WATCHER));
            }
            return;
        }
        for (_, watcher) in &mut self.watchers {
            if watcher.cursor.answer_tick(mark.number, revision) {
                self.responses.push(progress(watcher.id));
            }
        }
    }

    fn next_mark(&mut self, manual: bool) -> Mark {
        self.marks += 1;
        Mark {
            number: self.marks,
            manual,
        }
    }

    /// Returns the requested id, or the next unused id if none was requested. Returns `None` if the
    /// requested id is in use.
    fn choose_id(&mut self, wanted: i64) -> Option<i64> {
        if wanted != 0 {
            return (!self.ids.contains_key(&wanted)).then_some(wanted);
        }
        while self.ids.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        let id = self.next_id;
        self.next_id += 1;
        Some(id)
    }

    fn watchers(&self) -> impl Iterator<Item = (Tag, &Watcher)> + Clone {
        let tagged = |(position, watcher)| (tag(position, watcher), watcher);
        self.watchers.iter().map(tagged)
    }

    fn get_mut(&mut self, tag: Tag) -> Option<&mut Watcher> {
        let watcher = self.watchers.get_mut(tag.position as usize);
        watcher.filter(|watcher| watcher.generation == tag.generation)
    }

    fn insert(&mut self, id: i64, cursor: Cursor) -> Tag {
        self.generation = self.generation.wrapping_add(1);
        let watcher = Watcher {
            generation: self.generation,
            id,
            cursor,
        };
        let entry = self.watchers.vacant_entry();
        let tag = tag(entry.key(), &watcher);
        entry.insert(watcher);
        tag
    }

    fn remove(&mut self, tag: Tag) {
        let watcher = self.watchers.remove(tag.position as usize);
        self.ids.remove(&watcher.id);
        self.lagging -= usize::from(watcher.cursor.is_lagging());
    }
}

fn tag(position: usize, watcher: &Watcher) -> Tag {
    Tag {
        position: u32::try_from(position).expect("the number of watchers is bounded"),
        generation: watcher.generation,
    }
}

/// Builds the response that ends a watcher whose revisions are compacted. As in etcd, it has no
/// revision in the header and no reason text.
fn compacted_away(watch_id: i64, compacted: Revision) -> Response {
    Response {
        revision: Revision(0),
        watch_id,
        canceled: true,
        compact_revision: Some(compacted),
        ..Response::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The hub may have a message under way for a watcher that was cancelled meanwhile.
    #[test]
    fn a_message_for_a_removed_watcher_is_not_for_the_next_one_at_its_position() {
        let settings = Settings::new(1 << 20, Duration::from_secs(600));
        let mut session = Session::new(Limits::new(&settings));
        let request = WatchCreateRequest {
            key: "k".into(),
            ..WatchCreateRequest::default()
        };
        let create = |session: &mut Session| {
            session.create(request.clone(), Revision(5), Revision(-1));
            let tag = session.registrations(Revision(5))[0].tag;
            let refused = Vec::new();
            session.registered(&[tag], &Registered { epoch: 0, refused });
            tag
        };
        let first = create(&mut session);
        assert_eq!(session.cancel(0, Revision(5)), Some(first));
        let second = create(&mut session);
        assert_eq!(first.position, second.position);
        assert!(session.get_mut(first).is_none() && session.get_mut(second).is_some());
    }
}
