//! Batches as a write-ahead log has them: records with a checksum, of which a power loss may leave
//! half of the last one.
//!
//! A record is its length (4), a CRC-32C of the rest (4), and the operations of a batch, each as a
//! kind (1), space (4), key length (4), value length (4), key, value.

use bytes::{Buf, BufMut};

use crate::engine::{Batch, Op, Space};

const PUT: u8 = 0;
const DELETE: u8 = 1;
const DELETE_RANGE: u8 = 2;

/// Appends a batch.
pub(super) fn append(batch: &Batch, out: &mut Vec<u8>) {
    let mut ops = Vec::new();
    for op in &batch.ops {
        let (kind, space, key, value) = match op {
            Op::Put(space, key, value) => (PUT, space, key, value.as_slice()),
            Op::Delete(space, key) => (DELETE, space, key, &[][..]),
            Op::DeleteRange(space, from, to) => (DELETE_RANGE, space, from, to.as_slice()),
        };
        ops.put_u8(kind);
        for number in [space.position, key.len(), value.len()] {
            ops.put_u32(u32::try_from(number).expect("no pair is as large as 4 GiB"));
        }
        ops.put_slice(key);
        ops.put_slice(value);
    }
    out.put_u32(u32::try_from(ops.len()).expect("no batch is as large as 4 GiB"));
    out.put_u32(crc32c::crc32c(&ops));
    out.put_slice(&ops);
}

/// Returns the batches up to the first record that is not whole.
pub(super) fn whole(mut bytes: &[u8]) -> Vec<Batch> {
    let mut batches = Vec::new();
    while let Some(batch) = next(&mut bytes) {
        batches.push(batch);
    }
    batches
}

fn next(bytes: &mut &[u8]) -> Option<Batch> {
    let length = bytes.try_get_u32().ok()? as usize;
    let checksum = bytes.try_get_u32().ok()?;
    let (mut ops, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    if crc32c::crc32c(ops) != checksum || ops.is_empty() {
        return None;
    }
    let mut batch = Batch::default();
    while ops.has_remaining() {
        let kind = ops.try_get_u8().ok()?;
        let mut number = || ops.try_get_u32().ok().map(|number| number as usize);
        let (position, key_len, value_len) = (number()?, number()?, number()?);
        let (key, rest) = ops.split_at_checked(key_len)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        ops = rest;
        let space = Space {
            position,
            name: "",
            suffix_len: None,
        };
        match kind {
            PUT => batch.put(space, key, value),
            DELETE => batch.delete(space, key),
            _ => batch.delete_range(space, key, value),
        }
    }
    Some(batch)
}
