//! The sequence of all writes by revision, and the model that replays it.

use std::collections::BTreeMap;

use conclave_proto::mvccpb;
use conclave_proto::mvccpb::event::EventType;

use super::Violation;

/// A version of a key, from one change to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Its value.
    pub value: String,
    /// The revision that created the key.
    pub created: i64,
    /// The revision of this change.
    pub modified: i64,
    /// The number of changes since the key was created.
    pub version: i64,
    /// The attached lease; 0 for none.
    pub lease: i64,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The revision of the change.
    pub revision: i64,
    /// The changed key.
    pub key: String,
    /// The new version; `None` if the key was removed.
    pub put: Option<Version>,
}

impl Event {
    /// Converts an event from the server.
    pub fn of(event: &mvccpb::Event) -> Self {
        let kv = event.kv.as_ref().expect("an event is about a key");
        Self {
            revision: kv.mod_revision,
            key: String::from_utf8_lossy(&kv.key).into_owned(),
            put: (event.r#type() == EventType::Put).then(|| Version::of(kv)),
        }
    }
}

impl Version {
    /// Converts a key-value from the server.
    pub fn of(kv: &mvccpb::KeyValue) -> Self {
        Self {
            value: String::from_utf8_lossy(&kv.value).into_owned(),
            created: kv.create_revision,
            modified: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

/// The history of the whole store.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    events: Vec<Event>,
    keys: BTreeMap<String, BTreeMap<i64, Option<Version>>>,
    last: i64,
}

impl Truth {
    /// Replays the events of a watch of all keys from the first revision. The first write of a
    /// store has revision 2, and every revision after it has at least one event.
    pub fn replay(events: Vec<Event>) -> (Self, Vec<Violation>) {
        let mut truth = Self {
            last: 1,
            ..Self::default()
        };
        let mut violations = Vec::new();
        for event in &events {
            let next = event.revision == truth.last || event.revision == truth.last + 1;
            if !next || event.revision == 1 {
                let details = format!("{} comes after {}", event.revision, truth.last);
                violations.push(Violation::new("a gap in the revisions", details));
            }
            truth.last = truth.last.max(event.revision);
            truth.apply(event, &mut violations);
        }
        truth.events = events;
        (truth, violations)
    }

    /// Applies one event to the model.
    fn apply(&mut self, event: &Event, violations: &mut Vec<Violation>) {
        let before = self.at(&event.key, event.revision - 1).cloned();
        let wrong = match (&event.put, &before) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(put), before) => {
                let created = before
                    .as_ref()
                    .map_or(event.revision, |before| before.created);
                let version = before.as_ref().map_or(1, |before| before.version + 1);
                (put.created, put.version, put.modified) != (created, version, event.revision)
            }
        };
        if wrong {
            let details = format!("{event:?} after {before:?}");
            violations.push(Violation::new("an impossible change", details));
        }
        let versions = self.keys.entry(event.key.clone()).or_default();
        if versions.insert(event.revision, event.put.clone()).is_some() {
            violations.push(Violation::new(
                "two events of a key at once",
                format!("{event:?}"),
            ));
        }
    }

    /// The version of a key at a revision.
    pub fn at(&self, key: &str, revision: i64) -> Option<&Version> {
        let versions = self.keys.get(key)?;
        versions.range(..=revision).next_back()?.1.as_ref()
    }

    /// The change of a key at exactly this revision: `Some(None)` is a removal.
    pub fn change(&self, key: &str, revision: i64) -> Option<Option<&Version>> {
        Some(self.keys.get(key)?.get(&revision)?.as_ref())
    }

    /// All events, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The last revision.
    pub fn last(&self) -> i64 {
        self.last
    }
}
