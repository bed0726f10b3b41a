//! Encoded events of one revision, shared by all watchers that want the same encoding.
//!
//! This is where etcd's events are made: the state machine returns changes of its own, and an event
//! is encoded from the parts of a change, with no message in between.
//!
//! Watchers differ in which of a revision's changes are in their range (computed by a [`Matcher`],
//! group by group) and in their [`View`]: filters and previous values. Everything else about a
//! response's events is the same for all, so a thousand watchers of one key share one buffer: the
//! repeated field `events` of `WatchResponse` in wire format. The end offset of each event allows a
//! response to be fragmented without decoding.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use conclave_proto::etcdserverpb::watch_create_request::FilterType;
use conclave_proto::mvccpb::event::EventType;
use conclave_storage::Revision;
use conclave_storage::machine::{Change, ChangeKind, Changes};
use prost::encoding::{self, WireType};

use super::index::{GroupId, WatcherIndex};

/// Field number of `events` in `WatchResponse`.
const EVENTS_FIELD: u32 = 11;
/// Field numbers of `Event`.
const TYPE_FIELD: u32 = 1;
const KV_FIELD: u32 = 2;
const PREV_KV_FIELD: u32 = 3;

/// Options of a watcher for the changes in its range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// True to omit puts.
    pub(crate) no_put: bool,
    /// True to omit deletions.
    pub(crate) no_delete: bool,
    /// True to include the value before the change.
    pub(crate) prev_kv: bool,
}

impl View {
    /// Number of different views.
    const COUNT: usize = 8;

    /// Builds a view from a request's filters. Unknown filters have no effect.
    pub(crate) fn of_request(filters: &[i32], prev_kv: bool) -> View {
        View {
            no_put: filters.contains(&(FilterType::Noput as i32)),
            no_delete: filters.contains(&(FilterType::Nodelete as i32)),
            prev_kv,
        }
    }

    fn number(self) -> usize {
        usize::from(self.no_put) | usize::from(self.no_delete) << 1 | usize::from(self.prev_kv) << 2
    }

    fn shows(self, change: &Change) -> bool {
        match change.kind {
            ChangeKind::Put => !self.no_put,
            ChangeKind::Delete => !self.no_delete,
        }
    }
}

/// Encoded events of one revision; at least one.
#[derive(Debug)]
pub(crate) struct Events {
    revision: Revision,
    bytes: Bytes,
    /// End offset of each event in `bytes`.
    ends: Box<[usize]>,
}

impl Events {
    /// Encodes the selected changes that `view` shows. Returns `None` if it shows none of them.
    fn encode(changes: &Changes, selection: &[u32], view: View) -> Option<Arc<Events>> {
        let shown = || {
            let selected = selection.iter().map(|&at| &changes.changes[at as usize]);
            selected.filter(|change| view.shows(change))
        };
        let size: usize = shown().map(|change| encoded_len(change, view)).sum();
        let mut bytes = BytesMut::with_capacity(size);
        let mut ends = Vec::new();
        for change in shown() {
            encode(change, view, &mut bytes);
            ends.push(bytes.len());
        }
        let ends = ends.into_boxed_slice();
        let revision = changes.revision;
        (!ends.is_empty()).then(|| {
            Arc::new(Events {
                revision,
                bytes: bytes.freeze(),
                ends,
            })
        })
    }

    /// Returns the revision of the events.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns the number of events.
    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Returns all events, encoded.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns each event, encoded.
    pub(crate) fn each(&self) -> impl Iterator<Item = Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| self.bytes.slice(start..end))
    }
}

/// Returns the type of the event, or `None` for the type that is left out of the encoding.
fn event_type(change: &Change) -> Option<i32> {
    match change.kind {
        ChangeKind::Put => None,
        ChangeKind::Delete => Some(EventType::Delete as i32),
    }
}

/// Returns the encoded size of the event's own fields, without tag and length.
fn body_len(change: &Change, view: View) -> usize {
    let kind = event_type(change).map_or(0, |kind| encoding::int32::encoded_len(TYPE_FIELD, &kind));
    let kv = encoding::message::encoded_len(KV_FIELD, &change.kv);
    let prev = match &change.prev {
        Some(prev) if view.prev_kv => encoding::message::encoded_len(PREV_KV_FIELD, prev),
        Some(_) | None => 0,
    };
    kind + kv + prev
}

fn encoded_len(change: &Change, view: View) -> usize {
    let body = body_len(change, view);
    encoding::key_len(EVENTS_FIELD) + encoding::encoded_len_varint(body as u64) + body
}

fn encode(change: &Change, view: View, out: &mut BytesMut) {
    encoding::encode_key(EVENTS_FIELD, WireType::LengthDelimited, out);
    encoding::encode_varint(body_len(change, view) as u64, out);
    if let Some(kind) = event_type(change) {
        encoding::int32::encode(TYPE_FIELD, &kind, out);
    }
    encoding::message::encode(KV_FIELD, &change.kv, out);
    if view.prev_kv
        && let Some(prev) = &change.prev
    {
        encoding::message::encode(PREV_KV_FIELD, prev, out);
    }
}

/// Encoded events of one revision, created on first use.
pub(crate) struct Encoded<'a> {
    changes: &'a Changes,
    /// True if the previous revision can still be read: see "Previous values" in [`super`].
    has_previous: bool,
    /// Events for watchers that selected every change, as nearly all do, by the view's number.
    all: Views,
    parts: HashMap<Box<[u32]>, Views>,
}

/// By the view's number: `None` until first use, then the encoding.
type Views = [Option<Option<Arc<Events>>>; View::COUNT];

impl<'a> Encoded<'a> {
    /// Encodes nothing yet. The state is compacted at `compacted`.
    pub(crate) fn new(changes: &'a Changes, compacted: Revision) -> Encoded<'a> {
        Encoded {
            changes,
            has_previous: changes.revision.previous() >= compacted,
            all: Views::default(),
            parts: HashMap::new(),
        }
    }

    /// Selects some of the changes, by ascending position.
    pub(crate) fn selected<'b>(&'b mut self, selection: &'b [u32]) -> Selected<'b> {
        let views = if selection.len() == self.changes.changes.len() {
            &mut self.all
        } else if self.parts.contains_key(selection) {
            self.parts.get_mut(selection).expect("it is there")
        } else {
            self.parts.entry(selection.into()).or_default()
        };
        Selected {
            changes: self.changes,
            has_previous: self.has_previous,
            selection,
            views,
        }
    }
}

/// Selected changes of a revision: see [`Encoded::selected`].
pub(crate) struct Selected<'a> {
    changes: &'a Changes,
    has_previous: bool,
    selection: &'a [u32],
    views: &'a mut Views,
}

impl Selected<'_> {
    /// Returns the changes as `view` shows them; `None` if it shows none.
    pub(crate) fn get(&mut self, view: View) -> Option<Arc<Events>> {
        let view = View {
            prev_kv: view.prev_kv && self.has_previous,
            ..view
        };
        self.views[view.number()]
            .get_or_insert_with(|| Events::encode(self.changes, self.selection, view))
            .clone()
    }
}

/// Finds the groups that match a revision, and the changes that each of them selects. Holds only
/// buffers.
#[derive(Debug, Default)]
pub(crate) struct Matcher {
    found: Vec<GroupId>,
    touched: Vec<GroupId>,
    /// Positions of the selected changes, by group.
    selections: Vec<Vec<u32>>,
}

impl Matcher {
    /// Calls `each` for every group that any change matches, with the changes' positions in order.
    pub(crate) fn run<T>(
        &mut self,
        index: &WatcherIndex<T>,
        changes: &Changes,
        mut each: impl FnMut(GroupId, &[u32]),
    ) {
        for (at, change) in (0_u32..).zip(&changes.changes) {
            self.found.clear();
            index.groups_around(&change.kv.key, &mut self.found);
            for &group in &self.found {
                if self.selections.len() <= group {
                    self.selections.resize_with(group + 1, Vec::new);
                }
                let selection = &mut self.selections[group];
                if selection.is_empty() {
                    self.touched.push(group);
                }
                selection.push(at);
            }
        }
        for group in self.touched.drain(..) {
            let selection = &mut self.selections[group];
            each(group, selection);
            selection.clear();
            // A deletion of a million keys must not leave a buffer of that size in every group.
            selection.shrink_to(64);
        }
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::etcdserverpb::WatchResponse;
    use conclave_proto::mvccpb::{Event, KeyValue};
    use prost::Message as _;

    use super::*;

    fn kv(key: &'static str, value: &'static str, mod_revision: i64) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: value.into(),
            mod_revision,
            ..KeyValue::default()
        }
    }

    fn put(key: &'static str, prev: Option<KeyValue>) -> Change {
        Change {
            kind: ChangeKind::Put,
            kv: kv(key, "v", 7),
            prev,
        }
    }

    fn delete(key: &'static str, prev: KeyValue) -> Change {
        Change {
            kind: ChangeKind::Delete,
            kv: kv(key, "", 7),
            prev: Some(prev),
        }
    }

    /// The event that etcd would make of a change.
    fn event(change: &Change) -> Event {
        let kind = match change.kind {
            ChangeKind::Put => EventType::Put,
            ChangeKind::Delete => EventType::Delete,
        };
        Event {
            r#type: kind as i32,
            kv: Some(change.kv.clone()),
            prev_kv: None,
        }
    }

    fn three() -> Changes {
        let changes = vec![
            put("a", None),
            delete("b", kv("b", "old", 5)),
            put("c", Some(kv("c", "old", 6))),
        ];
        Changes {
            revision: Revision(7),
            changes,
            bytes: 100,
        }
    }

    const NEVER_COMPACTED: Revision = Revision(-1);

    fn decoded(events: &Events) -> Vec<Event> {
        WatchResponse::decode(events.bytes().clone())
            .expect("valid")
            .events
    }

    #[test]
    fn events_decode_to_what_they_were_made_of() {
        let changes = three();
        let mut encoded = Encoded::new(&changes, NEVER_COMPACTED);
        let plain = encoded
            .selected(&[0, 1, 2])
            .get(View::default())
            .expect("three");
        let expected: Vec<Event> = changes.changes.iter().map(event).collect();
        assert_eq!(decoded(&plain), expected);
        assert_eq!((plain.count(), plain.revision()), (3, Revision(7)));

        let prev_kv = View {
            prev_kv: true,
            ..View::default()
        };
        let with_prev = encoded.selected(&[1, 2]).get(prev_kv).expect("two");
        let expected: Vec<Event> = changes.changes[1..]
            .iter()
            .map(|c| Event {
                prev_kv: c.prev.clone(),
                ..event(c)
            })
            .collect();
        assert_eq!(decoded(&with_prev), expected);
    }

    /// A compaction at the revision itself keeps the revision and removes the previous one.
    #[test]
    fn a_compacted_previous_value_is_left_out() {
        let changes = three();
        let prev_kv = View {
            prev_kv: true,
            ..View::default()
        };
        let get = |compacted: i64| {
            let mut encoded = Encoded::new(&changes, Revision(compacted));
            decoded(&encoded.selected(&[1]).get(prev_kv).expect("one"))
        };
        assert!(get(6)[0].prev_kv.is_some());
        assert_eq!(get(7), [event(&changes.changes[1])]);
    }

    #[test]
    fn filters_leave_out_and_may_leave_nothing() {
        let changes = three();
        let mut encoded = Encoded::new(&changes, NEVER_COMPACTED);
        let no_put = View::of_request(&[FilterType::Noput as i32], false);
        let no_delete = View::of_request(&[FilterType::Nodelete as i32, 77], false);
        let nothing = View {
            no_put: true,
            ..no_delete
        };
        assert_eq!(
            encoded.selected(&[0, 1, 2]).get(no_put).expect("b").count(),
            1
        );
        assert_eq!(
            encoded
                .selected(&[0, 1, 2])
                .get(no_delete)
                .expect("a, c")
                .count(),
            2
        );
        assert!(encoded.selected(&[1]).get(no_delete).is_none());
        assert!(encoded.selected(&[0, 1, 2]).get(nothing).is_none());
    }

    #[test]
    fn equal_wishes_share_one_buffer() {
        let changes = three();
        let mut encoded = Encoded::new(&changes, NEVER_COMPACTED);
        for selection in [&[0, 1, 2][..], &[0, 2]] {
            let first = encoded
                .selected(selection)
                .get(View::default())
                .expect("some");
            let second = encoded
                .selected(selection)
                .get(View::default())
                .expect("some");
            assert!(Arc::ptr_eq(&first, &second));
        }
    }

    #[test]
    fn each_event_can_stand_alone() {
        let changes = three();
        let events = Encoded::new(&changes, NEVER_COMPACTED)
            .selected(&[0, 1, 2])
            .get(View::default())
            .expect("three");
        let joined: Vec<u8> = events.each().flatten().collect();
        assert_eq!(joined, events.bytes()[..]);
        for (alone, change) in events.each().zip(&changes.changes) {
            let response = WatchResponse::decode(alone).expect("valid");
            assert_eq!(response.events, [event(change)]);
        }
    }
}
