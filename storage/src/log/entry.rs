//! Entries and the records around them, and their bytes on disk. Every record carries a CRC-32C of
//! its own, over its key as well: the engine's checksums end where its cache and our copies begin.

use bytes::Bytes;

/// What an entry is to consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A batch of commands, or nothing (a new leader's first entry).
    Normal,
    /// A change of one member.
    ConfChange,
    /// A change of several members.
    ConfChangeV2,
}

/// One entry of the raft log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position, from 1.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// How `data` is to be read.
    pub kind: EntryKind,
    /// The payload, opaque here.
    pub data: Bytes,
}

/// What a member must not forget between elections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term this member has seen.
    pub term: u64,
    /// The member it voted for in that term; 0 for none.
    pub vote: u64,
    /// The highest index it knows to be committed; may lag behind what was committed.
    pub commit: u64,
}

/// The last entry that is gone. The log begins after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Compacted {
    pub(super) index: u64,
    pub(super) term: u64,
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

/// The checksum of an entry, over everything it says: the same on every member that has it.
pub fn entry_checksum(index: u64, term: u64, kind: EntryKind, data: &[u8]) -> u32 {
    let (index, term) = (index.to_be_bytes(), term.to_be_bytes());
    crc_of(&[&index, &term, &[kind.to_byte()], data])
}

/// The value of an entry: term, kind, CRC, data.
pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(TERM + KIND + CRC + entry.data.len());
    out.extend_from_slice(&entry.term.to_be_bytes());
    out.push(entry.kind.to_byte());
    let crc = entry_checksum(entry.index, entry.term, entry.kind, &entry.data);
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(&entry.data);
    out
}

/// An entry as it lies in a value, before its data is copied.
pub(super) struct EntryRef<'a> {
    pub(super) term: u64,
    pub(super) kind: EntryKind,
    pub(super) data: &'a [u8],
}

impl EntryRef<'_> {
    pub(super) fn to_entry(&self, index: u64) -> Entry {
        let data = Bytes::copy_from_slice(self.data);
        Entry {
            index,
            term: self.term,
            kind: self.kind,
            data,
        }
    }
}

/// `None` when the value is not what was written for `index`.
pub(super) fn decode_entry(index: u64, value: &[u8]) -> Option<EntryRef<'_>> {
    let (head, rest) = value.split_at_checked(TERM + KIND)?;
    let (crc, data) = rest.split_at_checked(CRC)?;
    if crc_of(&[&index.to_be_bytes(), head, data]).to_be_bytes() != *crc {
        return None;
    }
    let term = u64::from_be_bytes(head[..TERM].try_into().ok()?);
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

/// The record in a value of the `meta` space, or `None` when it does not check.
pub(super) fn unseal<'a>(name: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (crc, record) = value.split_at_checked(CRC)?;
    (crc_of(&[name, record]).to_be_bytes() == *crc).then_some(record)
}

/// A record of integers.
pub(super) fn encode_numbers(numbers: &[u64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

/// The integers of a record of exactly `N`.
pub(super) fn decode_numbers<const N: usize>(record: &[u8]) -> Option<[u64; N]> {
    let (numbers, rest) = record.as_chunks::<8>();
    let numbers: [[u8; 8]; N] = numbers.try_into().ok()?;
    rest.is_empty().then(|| numbers.map(u64::from_be_bytes))
}
