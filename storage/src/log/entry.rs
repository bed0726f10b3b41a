//! Entries, the other records of the log, and their bytes on disk. Every record has a CRC-32C of
//! its own, which covers its key as well: the engine's checksums do not protect its cache or our
//! copies.

use bytes::Bytes;

use crate::ids::{Index, MemberId, Term};

/// Kind of an entry, as consensus sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A batch of commands, or the empty entry of a new leader.
    Normal,
    /// A change of one member.
    ConfChange,
    /// A change of several members.
    ConfChangeV2,
}

/// One entry of the raft log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log, from 1.
    pub index: Index,
    /// The term of the leader that proposed it.
    pub term: Term,
    /// The format of `data`.
    pub kind: EntryKind,
    /// The payload, opaque here.
    pub data: Bytes,
}

/// The part of raft's state that must survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term this member has seen.
    pub term: Term,
    /// The member it voted for in that term, if any.
    pub vote: MemberId,
    /// The highest index that this member knows to be committed. It may lag behind.
    pub commit: Index,
}

/// The last compacted entry. The log begins after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Compacted {
    pub(super) index: Index,
    pub(super) term: Term,
}

const TERM: usize = 8;
const KIND: usize = 1;
const CRC: usize = 4;

impl EntryKind {
    fn to_byte(self) -> u8 {
        match self {
            EntryKind::Normal => 0,
            EntryKind::ConfChange => 1,
            EntryKind::ConfChangeV2 => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<EntryKind> {
        match byte {
            0 => Some(EntryKind::Normal),
            1 => Some(EntryKind::ConfChange),
            2 => Some(EntryKind::ConfChangeV2),
            _ => None,
        }
    }
}

fn crc_of(parts: &[&[u8]]) -> u32 {
    parts
        .iter()
        .fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

/// Checksum of an entry with its index, term and kind. Equal on every member that has the entry.
pub fn entry_checksum(index: Index, term: Term, kind: EntryKind, data: &[u8]) -> u32 {
    let (index, term) = (index.0.to_be_bytes(), term.0.to_be_bytes());
    crc_of(&[&index, &term, &[kind.to_byte()], data])
}

/// The value of an entry: term, kind, CRC, data.
pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(TERM + KIND + CRC + entry.data.len());
    out.extend_from_slice(&entry.term.0.to_be_bytes());
    out.push(entry.kind.to_byte());
    let crc = entry_checksum(entry.index, entry.term, entry.kind, &entry.data);
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(&entry.data);
    out
}

/// A decoded value, before its data is copied.
pub(super) struct EntryRef<'a> {
    pub(super) term: Term,
    pub(super) kind: EntryKind,
    pub(super) data: &'a [u8],
}

impl EntryRef<'_> {
    pub(super) fn to_entry(&self, index: Index) -> Entry {
        let data = Bytes::copy_from_slice(self.data);
        Entry {
            index,
            term: self.term,
            kind: self.kind,
            data,
        }
    }
}

/// Decodes a value. `None` when it does not match its checksum, or is the value of another index.
pub(super) fn decode_entry(index: Index, value: &[u8]) -> Option<EntryRef<'_>> {
    let (head, rest) = value.split_at_checked(TERM + KIND)?;
    let (crc, data) = rest.split_at_checked(CRC)?;
    if crc_of(&[&index.0.to_be_bytes(), head, data]).to_be_bytes() != *crc {
        return None;
    }
    let term = Term(u64::from_be_bytes(head[..TERM].try_into().ok()?));
    Some(EntryRef {
        term,
        kind: EntryKind::from_byte(head[TERM])?,
        data,
    })
}

/// The value of a record in the log's `meta` space: CRC of name and record, record.
pub(super) fn seal(name: &[u8], record: &[u8]) -> Vec<u8> {
    let mut out = crc_of(&[name, record]).to_be_bytes().to_vec();
    out.extend_from_slice(record);
    out
}

/// The record in a value of the `meta` space, or `None` when it does not match its checksum.
pub(super) fn unseal<'a>(name: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (crc, record) = value.split_at_checked(CRC)?;
    (crc_of(&[name, record]).to_be_bytes() == *crc).then_some(record)
}

/// Encodes a record of integers.
pub(super) fn encode_numbers(numbers: &[u64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

/// Decodes a record of exactly `N` integers.
pub(super) fn decode_numbers<const N: usize>(record: &[u8]) -> Option<[u64; N]> {
    let (numbers, rest) = record.as_chunks::<8>();
    let numbers: [[u8; 8]; N] = numbers.try_into().ok()?;
    rest.is_empty().then(|| numbers.map(u64::from_be_bytes))
}
