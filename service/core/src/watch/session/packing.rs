//! Conversion of packed events to responses.

use std::sync::Arc;

use bytes::Bytes;
use conclave_storage::Revision;

use super::Session;
use crate::watch::events::Events;
use crate::watch::pack::{PackMax, Packs};
use crate::watch::queue::Tag;
use crate::watch::response::Response;

impl Session {
    /// Returns the bytes of packed events that wait for another step.
    pub(in crate::watch) fn packed_bytes(&self) -> usize {
        self.packs.bytes()
    }

    /// Ends a step of history. Sends the packed events, unless there is `more` to read and they may
    /// wait for it.
    pub(in crate::watch) fn end_step(&mut self, more: bool, now: Revision) {
        let may_wait = self.packed_steps < self.limits.pack_steps_max
            && self.packed_bytes() < self.limits.pack_bytes_max;
        if !(more && may_wait) {
            self.send_packed(now);
        }
    }

    /// Sends all packed events.
    pub(super) fn send_packed(&mut self, now: Revision) {
        self.packed_steps = 0;
        let packs = std::mem::take(&mut self.packs);
        self.push_packs(packs, now);
    }

    /// Adds a revision to a watcher's pack. If the pack is full, sends it first.
    pub(super) fn pack(&mut self, packs: &mut Packs, tag: Tag, events: Arc<Events>, now: Revision) {
        let fragment = self.get_mut(tag).is_some_and(|w| w.cursor.fragment);
        // A pack that is sent in fragments is bounded by its memory here; a pack that is sent
        // whole, by what a client accepts in one message.
        let max = PackMax {
            revisions: self.limits.pack_revisions_max,
            bytes: if fragment {
                self.limits.pack_bytes_max
            } else {
                self.limits.response_bytes_max
            },
        };
        if let Some(full) = packs.add(tag, events, max) {
            self.push_events(tag, now, &full);
        }
    }

    pub(super) fn push_packs(&mut self, packs: Packs, now: Revision) {
        for (tag, events) in packs.into_packs() {
            self.push_events(tag, now, &events);
        }
    }

    pub(super) fn push_events(&mut self, tag: Tag, now: Revision, events: &[Arc<Events>]) {
        let Some(last) = events.last() else { return };
        let now = now.max(last.revision());
        let watcher = self
            .get_mut(tag)
            .expect("what is packed is sent before its watcher goes");
        let (id, fragment) = (watcher.id, watcher.cursor.fragment);
        let bytes: usize = events.iter().map(|events| events.bytes().len()).sum();
        if fragment && bytes > self.limits.fragment_bytes {
            return self.push_fragments(id, now, events);
        }
        let response = match events {
            [events] => Response::of_revision(id, now, events),
            events => {
                let count = events.iter().map(|events| events.count()).sum();
                let pieces = events.iter().map(|events| events.bytes().clone()).collect();
                Response::of_pieces(id, now, pieces, count)
            }
        };
        self.responses.push(response);
    }

    /// Splits a response between events. A single event larger than a fragment is sent alone.
    fn push_fragments(&mut self, id: i64, now: Revision, events: &[Arc<Events>]) {
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for event in events.iter().flat_map(|events| events.each()) {
            if !pieces.is_empty() && bytes + event.len() > self.limits.fragment_bytes {
                let count = pieces.len();
                let full = Response::of_pieces(id, now, std::mem::take(&mut pieces), count);
                self.responses.push(Response {
                    fragment: true,
                    ..full
                });
                bytes = 0;
            }
            bytes += event.len();
            pieces.push(event);
        }
        let count = pieces.len();
        self.responses
            .push(Response::of_pieces(id, now, pieces, count));
    }
}
