//! Every space, key encoding and format number of the two stores. `storage/README.md` describes
//! the same bytes; change both together and, after the first release, [`FORMAT_VERSION`] too.
//!
//! Integers in keys are big-endian, so that byte order is numeric order. User keys are arbitrary
//! bytes. In [`OLD`] they are followed by a revision, so they are escaped there: see
//! [`escape_key`].

use std::borrow::Cow;

use bytes::Bytes;

use crate::engine::Space;
use crate::ids::{LeaseId, MemberId, Revision};

mod removal;
mod version;

pub use removal::{forget_removal, is_removal_recorded, record_removal};
pub use version::{check_or_create_version, refuse_etcds};

/// Version of everything below, kept in the file `VERSION` beside the two stores.
pub const FORMAT_VERSION: u32 = 2;
/// The oldest format that this program reads. It converts it: see [`crate::convert`].
pub const OLDEST_FORMAT: u32 = 1;

/// Size from which a value is large: its latest version has it in [`OLD`] instead of [`HEAD`].
///
/// A version in `HEAD` is written once more when it is superseded. With large values, that would
/// make the deletion of many keys as expensive as writing all their values, in one batch. A large
/// value costs a lookup instead when it is read, which is little beside the value itself.
pub(crate) const LARGE_VALUE_BYTES: usize = 4 << 10;

/// The spaces of the log store.
pub const LOG_SPACES: &[Space] = &[LOG_ENTRIES, LOG_META];
/// Index (8 bytes) -> term (8), kind (1), CRC-32C of index, term, kind and data (4), data.
pub(crate) const LOG_ENTRIES: Space = Space {
    position: 0,
    name: "entries",
    suffix_len: None,
};
/// Hard state, configuration state, compaction point and identity, by name -> CRC-32C of name and
/// record (4), record.
pub(crate) const LOG_META: Space = Space {
    position: 1,
    name: "meta",
    suffix_len: None,
};
/// In `LOG_META`: term (8), vote (8), commit (8).
pub(crate) const LOG_HARD_STATE: &[u8] = b"hard_state";
/// In `LOG_META`: the configuration state, opaque here.
pub(crate) const LOG_CONF_STATE: &[u8] = b"conf_state";
/// In `LOG_META`: index (8) and term (8) of the last compacted entry. The log begins after it.
pub(crate) const LOG_COMPACTED: &[u8] = b"compacted";

/// In `LOG_META`: ids of the cluster (8) and of the member (8) whose log this is.
pub(crate) const LOG_IDENTITY: &[u8] = b"identity";

/// The spaces of the state store.
pub const STATE_SPACES: &[Space] = &[
    HEAD, KEY, OLD, REV, LEASE, LEASE_KEY, AUTH, MEMBER, ALARM, META,
];
/// User key -> revision (8), version: the latest version of each key that exists. The value of a
/// large one is in `OLD`.
pub const HEAD: Space = Space {
    position: 0,
    name: "head",
    suffix_len: None,
};
/// User key -> nothing: the keys in `HEAD`, to be counted without reading their values.
pub(crate) const KEY: Space = Space {
    position: 1,
    name: "key",
    suffix_len: None,
};
/// Escaped user key, inverted main revision (8) -> a version that a later one has superseded, or a
/// tombstone, or the latest version if its value is large. The name is that of format 1, which had
/// all versions here: a space cannot be renamed.
pub const OLD: Space = Space {
    position: 2,
    name: "kv",
    suffix_len: Some(8),
};
/// Main revision (8), sub revision (4) -> kind (1), user key: a change of that revision.
pub(crate) const REV: Space = Space {
    position: 3,
    name: "rev",
    suffix_len: None,
};
/// Lease id (8) -> `LeaseRecord`.
pub(crate) const LEASE: Space = Space {
    position: 4,
    name: "lease",
    suffix_len: None,
};
/// Lease id (8), user key -> nothing: the keys attached to a lease.
pub(crate) const LEASE_KEY: Space = Space {
    position: 5,
    name: "lease_key",
    suffix_len: None,
};
/// Users, roles and the settings of authentication: see [`auth_key`].
pub(crate) const AUTH: Space = Space {
    position: 6,
    name: "auth",
    suffix_len: None,
};
/// Member id (8) -> `Member`.
pub(crate) const MEMBER: Space = Space {
    position: 7,
    name: "member",
    suffix_len: None,
};
/// Alarm type (4), member id (8) -> nothing.
pub const ALARM: Space = Space {
    position: 8,
    name: "alarm",
    suffix_len: None,
};
/// Applied index, revisions, sizes, cluster id, by name.
pub(crate) const META: Space = Space {
    position: 9,
    name: "meta",
    suffix_len: None,
};

/// Appends an encoding of `key` that sorts as `key` does and is no prefix of another key's: a zero
/// byte becomes `00 ff`, and `00 01` ends it.
///
/// ```
/// # use conclave_storage::layout::escape_key;
/// let encode = |key: &[u8]| { let mut out = Vec::new(); escape_key(key, &mut out); out };
/// assert_eq!(encode(b"a"), [b'a', 0, 1]);
/// assert!(encode(b"a") < encode(b"a\0"));
/// assert!(encode(b"a\0") < encode(b"ab"));
/// ```
pub fn escape_key(key: &[u8], out: &mut Vec<u8>) {
    // `contains` searches a word at a time, and nearly no key has a zero byte.
    if !key.contains(&0) {
        out.extend_from_slice(key);
    } else {
        for run in key.split_inclusive(|&byte| byte == 0) {
            out.extend_from_slice(run);
            if run.ends_with(&[0]) {
                out.push(0xff);
            }
        }
    }
    out.extend_from_slice(&[0, 1]);
}

/// Decodes the encoding of [`escape_key`]. The key is borrowed if it has no zero byte. `None` for
/// bytes that `escape_key` does not write.
pub(crate) fn unescape_key(escaped: &[u8]) -> Option<Cow<'_, [u8]>> {
    let body = escaped.strip_suffix(&[0, 1])?;
    if !body.contains(&0) {
        return Some(Cow::Borrowed(body));
    }
    let mut key = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(zero) = rest.iter().position(|&byte| byte == 0) {
        key.extend_from_slice(&rest[..=zero]);
        rest = rest[zero + 1..].strip_prefix(&[0xff])?;
    }
    key.extend_from_slice(rest);
    Some(Cow::Owned(key))
}

/// The key in `LEASE` of a lease. It sorts as the id does, for the positive ids that the API
/// allows.
pub(crate) fn lease_key(id: LeaseId) -> [u8; 8] {
    id.0.to_be_bytes()
}

/// The key in `OLD` of `key` as written at `revision`. Later revisions of a key sort first, so the
/// first row at or after `old_key(k, r)` with the same prefix is the newest that is not after `r`.
pub(crate) fn old_key(key: &[u8], revision: Revision) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 10);
    escape_key(key, &mut out);
    out.extend_from_slice(&(!(revision.0 as u64)).to_be_bytes());
    out
}

/// Splits a key in `OLD` into the escaped user key, with its end mark, and the revision.
pub(crate) fn split_old_key(row: &[u8]) -> Option<(&[u8], Revision)> {
    let (escaped, suffix) = row.split_last_chunk::<8>()?;
    Some((escaped, Revision(!u64::from_be_bytes(*suffix) as i64)))
}

/// The key in `REV` of the change number `sub` of `revision`.
pub(crate) fn rev_key(revision: Revision, sub: u32) -> [u8; 12] {
    let mut out = [0; 12];
    out[..8].copy_from_slice(&revision.0.to_be_bytes());
    out[8..].copy_from_slice(&sub.to_be_bytes());
    out
}

/// Splits a key in `REV` into the revision and the number of the change.
pub(crate) fn split_rev_key(row: &[u8]) -> Option<(Revision, u32)> {
    let (main, sub) = row.split_first_chunk::<8>()?;
    let sub = <[u8; 4]>::try_from(sub).ok()?;
    Some((Revision(i64::from_be_bytes(*main)), u32::from_be_bytes(sub)))
}

/// The key in `LEASE_KEY` for `key` attached to the lease.
pub(crate) fn lease_key_key(id: LeaseId, key: &[u8]) -> Vec<u8> {
    [&lease_key(id), key].concat()
}

/// Splits a key in `LEASE_KEY` into the lease and the user key.
pub(crate) fn split_lease_key_key(row: &[u8]) -> Option<(LeaseId, Bytes)> {
    let (id, key) = row.split_first_chunk::<8>()?;
    Some((
        LeaseId(i64::from_be_bytes(*id)),
        Bytes::copy_from_slice(key),
    ))
}

/// The key in `MEMBER` of a member.
pub(crate) fn member_key(id: MemberId) -> [u8; 8] {
    id.0.to_be_bytes()
}

/// The key in `ALARM` of an alarm that is raised.
pub(crate) fn alarm_key(alarm: i32, member_id: MemberId) -> [u8; 12] {
    let mut out = [0; 12];
    out[..4].copy_from_slice(&alarm.to_be_bytes());
    out[4..].copy_from_slice(&member_id.0.to_be_bytes());
    out
}

/// Splits a key in `ALARM` into the alarm type and the member.
pub(crate) fn split_alarm_key(row: &[u8]) -> Option<(i32, MemberId)> {
    let (alarm, member) = row.split_first_chunk::<4>()?;
    let member = <[u8; 8]>::try_from(member).ok()?;
    Some((
        i32::from_be_bytes(*alarm),
        MemberId(u64::from_be_bytes(member)),
    ))
}

/// Kinds of rows in `AUTH`, by the first byte of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthRow {
    /// Whether authentication is enabled (1), and the auth revision (8). One row, without a name.
    Settings = b's' as isize,
    /// `authpb.User`, by name.
    User = b'u' as isize,
    /// `authpb.Role`, by name.
    Role = b'r' as isize,
}

/// The key in `AUTH` of a user or role, or of the settings.
pub(crate) fn auth_key(row: AuthRow, name: &str) -> Vec<u8> {
    [&[row as u8], name.as_bytes()].concat()
}

/// Splits a key in `AUTH` into the kind of the row and the name.
pub(crate) fn split_auth_key(key: &[u8]) -> Option<(AuthRow, &str)> {
    let (&kind, name) = key.split_first()?;
    let kinds = [AuthRow::Settings, AuthRow::User, AuthRow::Role];
    let row = kinds.into_iter().find(|row| *row as u8 == kind)?;
    Some((row, std::str::from_utf8(name).ok()?))
}

/// In `META`: five integers of 8 bytes: applied index, its term, revision, compact revision,
/// logical size. One record, because every commit writes all of it.
pub(crate) const META_APPLIED: &[u8] = b"applied";
/// In `META`: progress of the removal of compacted history: the last compact revision whose removal
/// ended (8), and the row of `REV` where the running removal continues (12; zeros when none runs).
pub(crate) const META_COMPACTION: &[u8] = b"compaction";
/// In `META`: the format of the state (4), and while an older one is converted the row of `OLD`
/// where the conversion continues.
pub(crate) const META_FORMAT: &[u8] = b"format";
/// In `META`: the id of the cluster (8). Absent until the store is bootstrapped.
pub(crate) const META_CLUSTER: &[u8] = b"cluster";

/// Logical size of a store without a key: about the size of its files, and what etcd reports for an
/// empty store. It is not 0 because clients divide by the size.
pub const EMPTY_STORE_BYTES: u64 = 24 << 10;

/// The revision in the record [`META_APPLIED`], which `machine::State` encodes.
pub(crate) fn revision_of_applied(record: &[u8]) -> Option<Revision> {
    let revision = record.get(16..)?.first_chunk::<8>()?;
    Some(Revision(i64::from_be_bytes(*revision)))
}

/// Logical size of a retained version beyond its key and its value: about the overhead of its two
/// rows on disk.
pub(crate) const VERSION_OVERHEAD: usize = 64;
