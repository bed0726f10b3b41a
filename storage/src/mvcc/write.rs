//! One write transaction: changes that share a revision.
//!
//! A [`Writer`] begins at a revision. Its first change moves it to the next revision, at which all
//! its versions are written and which its later reads see. A writer without changes uses no
//! revision and writes nothing.

use bytes::Bytes;
use conclave_proto::etcdserverpb::PutRequest;
use conclave_proto::mvccpb::KeyValue;

use super::change::Change;
use super::pending::{Pending, PendingView};
use super::range::KeyRange;
use super::record::{self, Head, Kind, Version};
use super::view::{ALL_VALUES, View};
use crate::engine::Read;
use crate::fault::Fault;
use crate::ids::{LeaseId, Revision};

/// A write transaction under way.
pub(crate) struct Writer<'a> {
    read: &'a dyn Read,
    pending: &'a mut Pending,
    begin: Revision,
    changes: Vec<Change>,
    size: i64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(read: &'a dyn Read, pending: &'a mut Pending, begin: Revision) -> Writer<'a> {
        Writer {
            read,
            pending,
            begin,
            changes: Vec::new(),
            size: 0,
        }
    }

    /// The revision of the transaction: the one it began at, or the next after a change.
    pub(crate) fn revision(&self) -> Revision {
        if self.changes.is_empty() {
            self.begin
        } else {
            self.begin.next()
        }
    }

    /// The key space with the transaction's own changes.
    pub(crate) fn view(&self) -> PendingView<'_> {
        self.pending.view(self.read)
    }

    /// Writes a key and returns its previous version. The caller has checked the request: a put
    /// that keeps the value or the lease finds a version to keep it from.
    pub(crate) fn put(&mut self, request: &PutRequest) -> Result<Option<KeyValue>, Fault> {
        let key = request.key.clone();
        let before = self.view().find(&key, self.begin.next())?;
        let (old_lease, created, version) = match &before {
            Some(old) => (old.head.lease, old.head.created, old.head.version + 1),
            None => (LeaseId::NONE, self.begin.next(), 1),
        };
        let lease = if request.ignore_lease {
            old_lease
        } else {
            LeaseId(request.lease)
        };
        let value = match &before {
            Some(old) if request.ignore_value => old.value.clone(),
            _ => request.value.clone(),
        };
        if lease != old_lease {
            if old_lease != LeaseId::NONE {
                self.pending.detach(old_lease, &key);
            }
            if lease != LeaseId::NONE {
                self.pending.attach(lease, &key);
            }
        }
        let modified = self.begin.next();
        let head = Head {
            kind: Kind::Put,
            modified,
            sub: self.sub(),
            created,
            version,
            lease,
            is_apart: record::is_large(&value),
        };
        let written = Version { head, value };
        let kv = written.key_value(key.clone());
        Ok(self.add(key, written, before, |prev| Change::put(kv, prev)))
    }

    /// Deletes every key in `range` and returns the deleted versions.
    pub(crate) fn delete_range(&mut self, range: &KeyRange) -> Result<Vec<KeyValue>, Fault> {
        let mut found = Vec::new();
        self.view().visit(
            range,
            self.begin.next(),
            ALL_VALUES,
            &mut |key, head, value| {
                let key = Bytes::copy_from_slice(key);
                found.push((
                    key,
                    Version {
                        head: *head,
                        value: Bytes::copy_from_slice(value),
                    },
                ));
                std::ops::ControlFlow::Continue(())
            },
        )?;
        let mut deleted = Vec::with_capacity(found.len());
        for (key, version) in found {
            deleted.extend(self.delete(key, version));
        }
        Ok(deleted)
    }

    /// Deletes a key whose current version is `before`.
    fn delete(&mut self, key: Bytes, before: Version) -> Option<KeyValue> {
        if before.head.lease != LeaseId::NONE {
            self.pending.detach(before.head.lease, &key);
        }
        let modified = self.begin.next();
        let head = Head::tombstone(modified, self.sub());
        let written = Version {
            head,
            value: Bytes::new(),
        };
        let deleted = key.clone();
        self.add(key, written, Some(before), |prev| {
            Change::delete(deleted, modified, prev)
        })
    }

    fn add(
        &mut self,
        key: Bytes,
        written: Version,
        before: Option<Version>,
        change: impl FnOnce(Option<KeyValue>) -> Change,
    ) -> Option<KeyValue> {
        // A second version at the same revision would overwrite the first and corrupt the history.
        assert!(
            before
                .as_ref()
                .is_none_or(|old| old.head.modified < written.head.modified),
            "the rules for transactions let a key change once in a revision"
        );
        self.size += record::logical_size(&key, written.value.len());
        let prev = before.as_ref().map(|old| old.key_value(key.clone()));
        self.changes.push(change(prev.clone()));
        self.pending.add_version(key, written, before.as_ref());
        prev
    }

    /// The number of the next change within the revision.
    fn sub(&self) -> u32 {
        u32::try_from(self.changes.len()).expect("a revision's changes fit in memory")
    }

    /// Ends the transaction. Returns its revision, its changes, and the logical size that they add.
    pub(crate) fn finish(self) -> (Revision, Vec<Change>, i64) {
        (self.revision(), self.changes, self.size)
    }
}
