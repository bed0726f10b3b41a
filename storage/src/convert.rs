//! Conversion of a state of format 1.
//!
//! Format 1 had all versions of a key in one space, newest first: the space that is [`layout::OLD`]
//! today, with the same rows. So only the newest version of each key moves, to [`layout::HEAD`] and
//! [`layout::KEY`], unless it is a tombstone. Superseded versions stay where they are, and so do
//! large values, to which their heads refer.
//!
//! Each batch has some keys and the position of the next one. So after a crash the state is
//! converted up to some key, knows it, and the next start goes on from there. A member that
//! receives a snapshot of format 1 converts it in the same way when it first opens it.
//!
//! For example, format 1 has `a@4 tombstone`, `a@2 "1"`, `b@5 "3"` and `b@3 "2"`. The conversion
//! moves `b@5` to the heads; `a@4`, `a@2` and `b@3` stay.

use bytes::Bytes;

use crate::engine::{Batch, Direction, Durability, Engine, Read};
use crate::fault::Fault;
use crate::ids::Revision;
use crate::layout;
use crate::mvcc::record::{self, Version};

/// Bytes of keys and values that are moved in one batch.
const BATCH_BYTES: usize = 1 << 20;
/// The first bytes of [`layout::META_FORMAT`]: the conversion is under way, or has ended.
const UNDER_WAY: [u8; 4] = layout::OLDEST_FORMAT.to_be_bytes();
const ENDED: [u8; 4] = layout::FORMAT_VERSION.to_be_bytes();

/// Converts the state in `engine` to the current format. Calls `progress` with the number of keys
/// so far now and then, and at the end, unless the state had the format already. Durable when it
/// returns.
///
/// # Errors
/// When the disk fails or is full; a later call goes on. [`Fault::Damaged`] when the state is of no
/// format that is known.
pub fn to_current(engine: &dyn Engine, progress: &mut dyn FnMut(u64)) -> Result<(), Fault> {
    if let Some(from) = start(engine)? {
        move_heads(engine, from, BATCH_BYTES, progress)?;
        engine.flush()?;
    }
    Ok(())
}

/// Converts the rows of `OLD` from `from` on, in batches of about this size.
fn move_heads(
    engine: &dyn Engine,
    mut from: Vec<u8>,
    batch_bytes: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Fault> {
    let mut keys = 0;
    loop {
        let mut batch = Batch::default();
        let (moved, next) = step(engine, &from, batch_bytes, &mut batch)?;
        keys += moved;
        let record = match &next {
            Some(next) => [&UNDER_WAY[..], next].concat(),
            None => ENDED.to_vec(),
        };
        batch.put(layout::META, layout::META_FORMAT, record);
        engine.write(batch, Durability::Eventual)?;
        progress(keys);
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

/// The row of `OLD` where the conversion begins or goes on. `None` if there is nothing to convert.
fn start(engine: &dyn Engine) -> Result<Option<Vec<u8>>, Fault> {
    if let Some(record) = engine.get(layout::META, layout::META_FORMAT)? {
        return match record.split_first_chunk::<4>() {
            Some((format, [])) if *format == ENDED => Ok(None),
            Some((format, row)) if *format == UNDER_WAY => Ok(Some(row.to_vec())),
            _ => Err(record::damaged(format!(
                "meta: the format is {record:02x?}"
            ))),
        };
    }
    if engine.get(layout::META, layout::META_APPLIED)?.is_none() {
        let mut batch = Batch::default();
        batch.put(layout::META, layout::META_FORMAT, ENDED);
        engine.write(batch, Durability::Eventual)?;
        return Ok(None);
    }
    let mut heads = engine.scan(layout::HEAD, &[], None, Direction::Forward)?;
    if heads.next()?.is_some() {
        return Err(record::damaged("meta: the format is missing".into()));
    }
    Ok(Some(Vec::new()))
}

/// Moves the newest versions of some keys from `from` on. Returns the number of keys, and the row
/// after them, unless these were the last.
fn step(
    read: &dyn Read,
    from: &[u8],
    batch_bytes: usize,
    batch: &mut Batch,
) -> Result<(u64, Option<Vec<u8>>), Fault> {
    let mut rows = read.scan(layout::OLD, from, None, Direction::Forward)?;
    let mut keys = 0;
    let mut bytes = 0;
    while let Some((row, value)) = rows.next()? {
        let no_key = || record::damaged(format!("kv: no key in {row:02x?}"));
        let (escaped, modified) = layout::split_old_key(row).ok_or_else(no_key)?;
        let (mut head, value) = record::decode(value, modified)?;
        if head.is_put() {
            let key = layout::unescape_key(escaped).ok_or_else(no_key)?;
            head.is_apart = record::is_large(value);
            let mut version = Version {
                head,
                value: Bytes::new(),
            };
            if !head.is_apart {
                version.value = Bytes::copy_from_slice(value);
                bytes += value.len();
                batch.delete(layout::OLD, row);
            }
            batch.put(layout::HEAD, &key[..], version.encode_head());
            batch.put(layout::KEY, &key[..], Vec::new());
        }
        keys += 1;
        bytes += row.len();
        // No version has revision 0: this is after all rows of the key.
        let mut next = escaped.to_vec();
        next.extend_from_slice(&(!(Revision(0).0 as u64)).to_be_bytes());
        if bytes >= batch_bytes {
            return Ok((keys, Some(next)));
        }
        rows.seek(&next)?;
    }
    Ok((keys, None))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::memory::MemoryEngine;

    /// Makes a state of format 1 of one of today's, durably.
    pub(crate) fn to_format_1(engine: &dyn Engine) {
        let mut batch = Batch::default();
        let mut heads = engine
            .scan(layout::HEAD, &[], None, Direction::Forward)
            .expect("scans");
        while let Some((key, row)) = heads.next().expect("scans") {
            let row = row.to_vec().into();
            let version = Version::decode_head(&row).expect("a version");
            if !version.head.is_apart {
                let old = layout::old_key(key, version.head.modified);
                batch.put(layout::OLD, old, version.encode());
            }
            batch.delete(layout::HEAD, key);
            batch.delete(layout::KEY, key);
        }
        batch.delete(layout::META, layout::META_FORMAT);
        engine.write(batch, Durability::Eventual).expect("writes");
        engine.flush().expect("flushes");
    }

    /// Converts a state of format 1 with a crash after this many batches.
    pub(crate) fn convert_and_crash(engine: &MemoryEngine, batches: usize) -> MemoryEngine {
        let from = start(engine).expect("starts").expect("is of format 1");
        move_heads(engine, from, 1, &mut |_| {}).expect("converts");
        engine.crash_keeping(batches)
    }

    fn pairs(engine: &dyn Engine, rows: &[(&[u8], &[u8])]) {
        let mut batch = Batch::default();
        for (key, value) in rows {
            batch.put(layout::OLD, *key, *value);
        }
        batch.put(layout::META, layout::META_APPLIED, [0; 40]);
        engine.write(batch, Durability::Eventual).expect("writes");
    }

    #[test]
    fn an_empty_store_has_todays_format() {
        let engine = MemoryEngine::new();
        let mut calls = 0;
        to_current(&engine, &mut |_| calls += 1).expect("marks");
        let record = engine.get(layout::META, layout::META_FORMAT);
        assert_eq!(record.expect("reads").expect("a record"), ENDED[..]);
        // It is not taken for one of format 1 when it has data.
        pairs(&engine, &[]);
        to_current(&engine, &mut |_| calls += 1).expect("opens");
        assert_eq!(calls, 0);
    }

    #[test]
    fn what_is_no_version_is_damage_and_stays() {
        let engine = MemoryEngine::new();
        let row = layout::old_key(b"a", Revision(2));
        pairs(&engine, &[(&row, b"?")]);
        let refused = to_current(&engine, &mut |_| {});
        assert!(matches!(refused, Err(Fault::Damaged { .. })), "{refused:?}");
        let kept = engine.get(layout::OLD, &row).expect("reads");
        assert_eq!(kept.expect("is there"), "?");
    }

    #[test]
    fn a_format_that_is_not_known_is_damage() {
        let engine = MemoryEngine::new();
        for record in [&b"\0\0\0\x03"[..], b"", b"\0\0\0\x02x"] {
            let mut batch = Batch::default();
            batch.put(layout::META, layout::META_FORMAT, record);
            engine.write(batch, Durability::Eventual).expect("writes");
            let refused = to_current(&engine, &mut |_| {});
            assert!(matches!(refused, Err(Fault::Damaged { .. })), "{record:?}");
        }
    }

    /// The mark is written before the first head, so this is no state that we have made.
    #[test]
    fn heads_without_a_format_are_damage() {
        let engine = MemoryEngine::new();
        pairs(&engine, &[]);
        let mut batch = Batch::default();
        batch.put(layout::HEAD, "a", "1");
        engine.write(batch, Durability::Eventual).expect("writes");
        let refused = to_current(&engine, &mut |_| {});
        assert!(matches!(refused, Err(Fault::Damaged { .. })), "{refused:?}");
    }
}
