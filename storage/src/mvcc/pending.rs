//! Rows of entries that are applied but not yet committed.
//!
//! The machine applies many entries and then writes once. Until then their rows are here: in the
//! batch, for the engine, and in an overlay, for the reads of later entries. The overlay keeps
//! *every* pending version, not only the newest. So a read at any revision, also at one between two
//! pending revisions, merges overlay and engine and never forces a commit.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use conclave_proto::command::LeaseRecord;
use prost::Message;

use super::range::KeyRange;
use super::record::{self, Version};
use super::view::{EngineView, Needs, View, Visitor, count_visited};
use crate::engine::{Batch, Direction, Read};
use crate::fault::Fault;
use crate::ids::{LeaseId, Revision};
use crate::layout;

/// Pending versions, ordered as the rows of `OLD` are: by key, newest first.
type Overlay = BTreeMap<(Bytes, Reverse<Revision>), Version>;

/// The rows of everything applied since the last commit.
pub(crate) struct Pending {
    pub(crate) batch: Batch,
    /// The revision of the last commit.
    committed: Revision,
    versions: Overlay,
    /// Leases that were granted or changed (`Some`), or ended (`None`).
    leases: BTreeMap<LeaseId, Option<LeaseRecord>>,
    /// Keys that were attached (true) or detached (false).
    attached: BTreeMap<(LeaseId, Bytes), bool>,
}

impl Pending {
    /// Nothing, on top of a store at this revision.
    pub(crate) fn new(committed: Revision) -> Pending {
        Pending {
            batch: Batch::default(),
            committed,
            versions: Overlay::new(),
            leases: BTreeMap::new(),
            attached: BTreeMap::new(),
        }
    }

    /// Takes the batch, which ends at this revision, and clears the overlay.
    pub(crate) fn take(&mut self, revision: Revision) -> Batch {
        self.committed = revision;
        self.versions.clear();
        self.leases.clear();
        self.attached.clear();
        std::mem::take(&mut self.batch)
    }

    /// Adds the rows of a version, and moves the version `before`, which it supersedes, from the
    /// heads to the superseded ones, unless it is there because its value is large.
    pub(crate) fn add_version(&mut self, key: Bytes, version: Version, before: Option<&Version>) {
        let head = &version.head;
        if let Some(before) = before.filter(|before| !before.head.is_apart) {
            let row = layout::old_key(&key, before.head.modified);
            self.batch.put(layout::OLD, row, before.encode());
        }
        if head.is_put() {
            if before.is_none() {
                self.batch.put(layout::KEY, &key[..], Vec::new());
            }
            if head.is_apart {
                let row = layout::old_key(&key, head.modified);
                self.batch.put(layout::OLD, row, version.encode());
            }
            self.batch
                .put(layout::HEAD, &key[..], version.encode_head());
        } else {
            self.batch.delete(layout::KEY, &key[..]);
            self.batch.delete(layout::HEAD, &key[..]);
            let row = layout::old_key(&key, head.modified);
            self.batch.put(layout::OLD, row, version.encode());
        }
        let row = layout::rev_key(head.modified, head.sub);
        self.batch
            .put(layout::REV, row, record::encode_rev(head.kind, &key));
        self.versions.insert((key, Reverse(head.modified)), version);
    }

    /// Adds or replaces a lease.
    pub(crate) fn set_lease(&mut self, lease: LeaseRecord) {
        let id = LeaseId(lease.id);
        self.batch
            .put(layout::LEASE, layout::lease_key(id), lease.encode_to_vec());
        self.leases.insert(id, Some(lease));
    }

    /// Removes a lease. Its keys must have been detached.
    pub(crate) fn remove_lease(&mut self, id: LeaseId) {
        self.batch.delete(layout::LEASE, layout::lease_key(id));
        self.leases.insert(id, None);
    }

    /// Attaches a key to a lease.
    pub(crate) fn attach(&mut self, id: LeaseId, key: &Bytes) {
        self.batch.put(
            layout::LEASE_KEY,
            layout::lease_key_key(id, key),
            Vec::new(),
        );
        self.attached.insert((id, key.clone()), true);
    }

    /// Detaches a key from a lease.
    pub(crate) fn detach(&mut self, id: LeaseId, key: &Bytes) {
        self.batch
            .delete(layout::LEASE_KEY, layout::lease_key_key(id, key));
        self.attached.insert((id, key.clone()), false);
    }

    /// The key space in `read` with the pending versions on top.
    pub(crate) fn view<'a>(&'a self, read: &'a dyn Read) -> PendingView<'a> {
        PendingView {
            committed: EngineView::of_revision(read, self.committed),
            versions: &self.versions,
        }
    }

    /// True if the lease exists.
    pub(crate) fn has_lease(&self, read: &dyn Read, id: LeaseId) -> Result<bool, Fault> {
        match self.leases.get(&id) {
            Some(lease) => Ok(lease.is_some()),
            None => Ok(read.get(layout::LEASE, &layout::lease_key(id))?.is_some()),
        }
    }

    /// The lease, if it exists.
    pub(crate) fn lease(&self, read: &dyn Read, id: LeaseId) -> Result<Option<LeaseRecord>, Fault> {
        if let Some(lease) = self.leases.get(&id) {
            return Ok(*lease);
        }
        let row = read.get(layout::LEASE, &layout::lease_key(id))?;
        row.map(|row| decode_lease(&row)).transpose()
    }

    /// The keys attached to a lease, in order.
    pub(crate) fn lease_keys(&self, read: &dyn Read, id: LeaseId) -> Result<Vec<Bytes>, Fault> {
        let mut keys: BTreeMap<Bytes, bool> = lease_keys(read, id)?
            .into_iter()
            .map(|key| (key, true))
            .collect();
        let pending = self.attached.range((id, Bytes::new())..);
        for ((_, key), attached) in pending.take_while(|((of, _), _)| *of == id) {
            keys.insert(key.clone(), *attached);
        }
        Ok(keys
            .into_iter()
            .filter(|(_, attached)| *attached)
            .map(|(key, _)| key)
            .collect())
    }
}

pub(crate) fn decode_lease(row: &[u8]) -> Result<LeaseRecord, Fault> {
    LeaseRecord::decode(row).map_err(|error| record::damaged(format!("lease: {error}")))
}

/// The committed keys of a lease, in order.
pub(crate) fn lease_keys(read: &dyn Read, id: LeaseId) -> Result<Vec<Bytes>, Fault> {
    let from = layout::lease_key(id);
    let mut scan = read.scan(layout::LEASE_KEY, &from, None, Direction::Forward)?;
    let mut keys = Vec::new();
    while let Some((row, _)) = scan.next()? {
        match layout::split_lease_key_key(row) {
            Some((of, key)) if of == id => keys.push(key),
            _ => break,
        }
    }
    Ok(keys)
}

/// A view of the pending versions on top of the committed rows.
pub(crate) struct PendingView<'a> {
    committed: EngineView<'a>,
    versions: &'a Overlay,
}

impl PendingView<'_> {
    /// The newest pending version of `key` at or below `at`, tombstones included.
    fn pending(&self, key: &Bytes, at: Revision) -> Option<&Version> {
        let (found, version) = self.versions.range((key.clone(), Reverse(at))..).next()?;
        (found.0 == *key).then_some(version)
    }

    /// The pending version at `at` of every key in `range`, tombstones included, in key order.
    fn pending_in<'v>(
        &'v self,
        range: &'v KeyRange,
        at: Revision,
    ) -> impl Iterator<Item = (&'v Bytes, &'v Version)> {
        let mut last: Option<&Bytes> = None;
        // The largest revision sorts first, so the scan begins at the newest version of the first
        // key.
        self.versions
            .range((range.start().clone(), Reverse(Revision(i64::MAX)))..)
            .take_while(|((key, _), _)| range.contains(key))
            .filter(move |((_, modified), _)| modified.0 <= at)
            .filter(move |((key, _), _)| last.replace(key) != Some(key))
            .map(|((key, _), version)| (key, version))
    }
}

impl View for PendingView<'_> {
    fn find(&self, key: &Bytes, at: Revision) -> Result<Option<Version>, Fault> {
        match self.pending(key, at) {
            Some(version) => Ok(version.head.is_put().then(|| version.clone())),
            None => self.committed.find(key, at),
        }
    }

    fn visit(
        &self,
        range: &KeyRange,
        at: Revision,
        needs: &Needs<'_>,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), Fault> {
        if let KeyRange::One(key) = range {
            let Some(version) = self.pending(key, at) else {
                return self.committed.visit(range, at, needs, visitor);
            };
            // A point has one key, so the visitor's answer does not matter.
            let _ = show(key, version, visitor);
            return Ok(());
        }
        if range.is_empty() {
            return Ok(());
        }
        let mut pending = self.pending_in(range, at).peekable();
        if pending.peek().is_none() {
            return self.committed.visit(range, at, needs, visitor);
        }
        let mut stopped = false;
        let committed = &self.committed;
        committed.visit(range, at, needs, &mut |key, head, value| {
            while let Some((ours, version)) = pending.next_if(|(ours, _)| &ours[..] < key) {
                if show(ours, version, visitor).is_break() {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = match pending.next_if(|(ours, _)| &ours[..] == key) {
                Some((ours, version)) => show(ours, version, visitor),
                None => visitor(key, head, value),
            };
            stopped = flow.is_break();
            flow
        })?;
        while !stopped && let Some((ours, version)) = pending.next() {
            stopped = show(ours, version, visitor).is_break();
        }
        Ok(())
    }

    fn count(&self, range: &KeyRange, at: Revision) -> Result<usize, Fault> {
        if self.pending_in(range, at).next().is_none() {
            return self.committed.count(range, at);
        }
        count_visited(self, range, at)
    }
}

fn show(key: &Bytes, version: &Version, visitor: &mut Visitor<'_>) -> ControlFlow<()> {
    if version.head.is_put() {
        visitor(key, &version.head, &version.value)
    } else {
        ControlFlow::Continue(())
    }
}
