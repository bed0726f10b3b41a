//! A hash that is equal on members with the same history.
//!
//! The definition is etcd's, byte for byte, so that its tools can compare our hashes: CRC-32C over
//! the word `key` and then, in order of revision, over the row that etcd's own store would hold for
//! each version: the revision in 17 bytes (main, `_`, sub; then `t` for a tombstone) and the
//! encoded `KeyValue` (of a tombstone: the key only). Versions above the requested revision are
//! left out. So are versions at or below the compact revision, unless they are still the value of
//! their key at the requested revision. So the hash never covers a version that compaction removes,
//! whether or not the removal has reached it.
//!
//! Hashing reads a frozen state from beginning to end and keeps nothing in memory.

use bytes::Bytes;
use conclave_proto::mvccpb::KeyValue;
use prost::Message;

use super::history::put_at;
use super::record::{Kind, RevRow};
use super::view::{EngineView, View};
use crate::engine::{Direction, Read, Space};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;

/// The hash of the history up to a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// CRC-32C of the history.
    pub hash: u32,
    /// The compact revision at the time. Hashes under different compact revisions cannot be
    /// compared.
    pub compact_revision: i64,
    /// The last revision that it covers.
    pub hash_revision: i64,
}

/// Hashes the history up to `at`, which must not be below `compacted`.
pub(crate) fn hash_kv(read: &dyn Read, at: Revision, compacted: Revision) -> Result<HashKv, Fault> {
    let mut hash = crc32c::crc32c(b"key");
    let mut buffer = Vec::new();
    let end = layout::rev_key(at.next(), 0);
    let mut scan = read.scan(layout::REV, &[], Some(&end), Direction::Forward)?;
    while let Some(row) = scan.next()? {
        let row = RevRow::decode(row)?;
        if row.revision <= compacted && !is_value_at(read, &row, at)? {
            continue;
        }
        buffer.clear();
        etcd_row(read, &row, &mut buffer)?;
        hash = crc32c::crc32c_append(hash, &buffer);
    }
    Ok(HashKv {
        hash,
        compact_revision: compacted.0,
        hash_revision: at.0,
    })
}

/// True if the version is the value of its key at `at`.
fn is_value_at(read: &dyn Read, row: &RevRow<'_>, at: Revision) -> Result<bool, Fault> {
    if row.kind == Kind::Tombstone {
        return Ok(false);
    }
    let now = EngineView::new(read).find(&Bytes::copy_from_slice(row.key), at)?;
    Ok(now.is_some_and(|version| version.head.modified == row.revision))
}

fn etcd_row(read: &dyn Read, row: &RevRow<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(&row.revision.0.to_be_bytes());
    out.push(b'_');
    out.extend_from_slice(&u64::from(row.sub).to_be_bytes());
    let key = Bytes::copy_from_slice(row.key);
    let record = match row.kind {
        Kind::Put => put_at(read, row)?.key_value(key),
        Kind::Tombstone => {
            out.push(b't');
            KeyValue {
                key,
                ..KeyValue::default()
            }
        }
    };
    record.encode(out).expect("a vector grows");
    Ok(())
}

/// CRC-32C over the name, keys and values of every space but `META`, which holds bookkeeping.
pub(crate) fn hash_all(read: &dyn Read) -> Result<u32, Fault> {
    let spaces = layout::STATE_SPACES
        .iter()
        .filter(|&&space| space != layout::META);
    spaces
        .copied()
        .try_fold(0, |hash, space| hash_space(read, space, hash))
}

fn hash_space(read: &dyn Read, space: Space, hash: u32) -> Result<u32, Fault> {
    let mut hash = crc32c::crc32c_append(hash, space.name.as_bytes());
    let mut scan = read.scan(space, &[], None, Direction::Forward)?;
    while let Some((key, value)) = scan.next()? {
        // The length keeps a key and its value apart.
        hash = crc32c::crc32c_append(hash, &(key.len() as u64).to_be_bytes());
        hash = crc32c::crc32c_append(hash, key);
        hash = crc32c::crc32c_append(hash, value);
    }
    Ok(hash)
}
