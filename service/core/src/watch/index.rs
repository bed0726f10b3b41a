//! Index from keys to watchers.
//!
//! Watchers of the same keys form a *group*: a thousand clients that watch one prefix are one group
//! with a thousand members. Finding the group, and choosing and encoding the events, is done once
//! for all of them. Groups of a single key are in a hash map, groups of a range in an interval
//! tree, so the cost of a change does not grow with the number of watchers that do not match it.

use std::collections::HashMap;

use bytes::Bytes;
use conclave_storage::KeyRange;
use slab::Slab;

use super::intervals::{End, Interval, Intervals};

/// Reads the keys of a watch request. An empty key means the smallest key. Returns `None` if the
/// range cannot contain a key.
pub(crate) fn of_request(key: &Bytes, range_end: &Bytes) -> Option<KeyRange> {
    Some(range_of(key, range_end)).filter(|range| !range.is_empty())
}

/// Reads the keys of a watch request, even if the range cannot contain a key.
pub(crate) fn range_of(key: &Bytes, range_end: &Bytes) -> KeyRange {
    match key.is_empty() {
        true => KeyRange::of(&Bytes::from_static(b"\0"), range_end),
        false => KeyRange::of(key, range_end),
    }
}

/// The range in the tree of ranges; `None` for a single key.
fn interval(range: &KeyRange) -> Option<Interval> {
    match range {
        KeyRange::One(_) => None,
        KeyRange::Between(start, end) => Some((start.clone(), End::Before(end.clone()))),
        KeyRange::From(start) => Some((start.clone(), End::Never)),
    }
}

/// Identifier of a member in the index, until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(usize);

/// Identifier of a group in the index, for as long as the group has members.
pub(crate) type GroupId = usize;

/// Index from keys to members. `T` is the caller's data about a member.
#[derive(Debug)]
pub(crate) struct WatcherIndex<T> {
    groups: Slab<Group>,
    members: Slab<Member<T>>,
    keys: HashMap<Bytes, GroupId>,
    ranges: Intervals,
}

#[derive(Debug)]
struct Group {
    range: KeyRange,
    members: Vec<usize>,
}

#[derive(Debug)]
struct Member<T> {
    group: GroupId,
    /// Position in the group's list, so that leaving a large group is cheap.
    position: usize,
    value: T,
}

impl<T> Default for WatcherIndex<T> {
    fn default() -> Self {
        WatcherIndex {
            groups: Slab::new(),
            members: Slab::new(),
            keys: HashMap::new(),
            ranges: Intervals::default(),
        }
    }
}

impl<T> WatcherIndex<T> {
    /// Adds a member to the group of its range.
    pub(crate) fn insert(&mut self, range: KeyRange, value: T) -> Slot {
        let group_id = self
            .group_of(&range)
            .unwrap_or_else(|| self.add_group(range));
        let group = self
            .groups
            .get_mut(group_id)
            .expect("found or added just now");
        let position = group.members.len();
        let member = self.members.insert(Member {
            group: group_id,
            position,
            value,
        });
        group.members.push(member);
        Slot(member)
    }

    /// Removes a member, and its group together with the group's last member.
    pub(crate) fn remove(&mut self, Slot(id): Slot) -> T {
        let Member {
            group: group_id,
            position,
            value,
        } = self.members.remove(id);
        let group = self
            .groups
            .get_mut(group_id)
            .expect("a member's group is there");
        group.members.swap_remove(position);
        if let Some(&moved) = group.members.get(position) {
            self.members
                .get_mut(moved)
                .expect("members of a group are there")
                .position = position;
        }
        if group.members.is_empty() {
            let group = self.groups.remove(group_id);
            match (&group.range, interval(&group.range)) {
                (_, Some(interval)) => self.ranges.remove(&interval),
                (KeyRange::One(key), None) => drop(self.keys.remove(key)),
                (KeyRange::Between(..) | KeyRange::From(_), None) => {
                    unreachable!("ranges have an interval")
                }
            }
        }
        value
    }

    /// Appends every group whose range contains `key` to `found`.
    pub(crate) fn groups_around(&self, key: &[u8], found: &mut Vec<GroupId>) {
        found.extend(self.keys.get(key));
        self.ranges.find(key, found);
    }

    /// Returns the members of a group.
    pub(crate) fn members(&self, group: GroupId) -> impl Iterator<Item = &T> {
        let members = self
            .groups
            .get(group)
            .map_or(&[][..], |group| &group.members);
        members.iter().map(|&id| {
            &self
                .members
                .get(id)
                .expect("members of a group are there")
                .value
        })
    }

    /// Returns the number of members.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    fn group_of(&self, range: &KeyRange) -> Option<GroupId> {
        match range {
            KeyRange::One(key) => self.keys.get(key).copied(),
            KeyRange::Between(..) | KeyRange::From(_) => self
                .ranges
                .get(&interval(range).expect("ranges have an interval")),
        }
    }

    fn add_group(&mut self, range: KeyRange) -> GroupId {
        let group = self.groups.insert(Group {
            range: range.clone(),
            members: Vec::new(),
        });
        match (interval(&range), range) {
            (Some(interval), _) => self.ranges.insert(interval, group),
            (None, KeyRange::One(key)) => drop(self.keys.insert(key, group)),
            (None, KeyRange::Between(..) | KeyRange::From(_)) => {
                unreachable!("ranges have an interval")
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_request(key: &'static str, end: &'static str) -> Option<KeyRange> {
        super::of_request(&key.into(), &end.into())
    }

    fn around(index: &WatcherIndex<&'static str>, key: &str) -> String {
        let mut found = Vec::new();
        index.groups_around(key.as_bytes(), &mut found);
        let mut names: Vec<_> = found
            .iter()
            .flat_map(|&g| index.members(g))
            .copied()
            .collect();
        names.sort_unstable();
        names.join(" ")
    }

    #[test]
    fn requests_are_read_as_etcd_reads_them() {
        assert_eq!(of_request("k", ""), Some(KeyRange::One("k".into())));
        assert_eq!(of_request("", ""), Some(KeyRange::One("\0".into())));
        assert_eq!(of_request("k", "\0"), Some(KeyRange::From("k".into())));
        assert_eq!(of_request("", "\0"), Some(KeyRange::From("\0".into())));
        assert_eq!(
            of_request("a", "b"),
            Some(KeyRange::Between("a".into(), "b".into()))
        );
        assert_eq!(of_request("b", "b"), None);
        assert_eq!(of_request("b", "a"), None);
    }

    #[test]
    fn members_come_and_go() {
        let mut index = WatcherIndex::default();
        let one = |key: &'static str| KeyRange::One(key.into());
        let ids: Vec<_> = [
            (one("b"), "b1"),
            (one("b"), "b2"),
            (one("b"), "b3"),
            (KeyRange::prefix("b".into()), "b*1"),
            (KeyRange::prefix("b".into()), "b*2"),
            (KeyRange::From("a".into()), "a.."),
        ]
        .into_iter()
        .map(|(range, name)| index.insert(range, name))
        .collect();
        assert_eq!(around(&index, "b"), "a.. b*1 b*2 b1 b2 b3");
        assert_eq!(around(&index, "bb"), "a.. b*1 b*2");
        assert_eq!(around(&index, "A"), "");
        for gone in [0, 3, 5] {
            index.remove(ids[gone]);
        }
        assert_eq!(around(&index, "b"), "b*2 b2 b3");
        for gone in [2, 1, 4] {
            index.remove(ids[gone]);
        }
        assert_eq!((around(&index, "b"), index.len()), (String::new(), 0));
        index.insert(one("b"), "again");
        assert_eq!(around(&index, "b"), "again");
    }
}
