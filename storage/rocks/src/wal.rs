//! Tells a torn end of the write-ahead log from damage in its middle.
//!
//! The log store syncs a write before it acknowledges it, and one thread writes: batch n + 1 is
//! written only after the sync of batch n returned. So the bytes distinguish two cases that look
//! alike:
//!
//! * **Torn tail.** The member died during a sync. The last record is cut short, holed or zero, and
//!   *no whole record follows it*. It was never acknowledged. The member must start, without that
//!   record.
//! * **Damage.** A record fails its checksum, and a record that begins later passes its own. The
//!   failing record had been acknowledged. Or the last record fails its checksum although nothing
//!   of it is missing: a disk writes whole sectors, and one that was not written is zero, since the
//!   file is new. The member must not start: it would forget a vote or an entry.
//!
//! For example, in a file of three records, a flipped byte in any of them is damage, and a third
//! one without its last byte, or with a sector of zeros, is a torn tail.
//!
//! None of RocksDB's own recovery modes draws this line. "Point in time" drops everything after
//! the first bad byte, acknowledged or not. "Tolerate a corrupted tail" refuses a tail that is
//! holed rather than short, which is what a file system leaves when pages of one write reach the
//! disk out of order; and it takes a damaged length field near the end for a short tail. "Absolute
//! consistency" refuses every tail. All of them skip a run of zeros. So this module judges the log
//! first; then RocksDB opens it with "absolute consistency" when it is whole and with "point in
//! time" when its tail is torn.
//!
//! Two cases cannot be decided here. The very last record, synced and later damaged on the disk, is
//! taken for torn if it has a sector of zeros, or if its length is damaged and now points behind
//! the end. Unsynced records (`Durability::Eventual`) of which a later one reached the disk
//! and an earlier one did not are taken for damage: the member refuses to start although nothing
//! was lost, which is the safe side. The log store detects part of both: it knows that entries are
//! contiguous.
//!
//! The relevant part of the format: blocks of 32 KiB, filled with fragments. A fragment is a header
//! (masked CRC-32C of type and payload, 4 bytes; length, 2; type, 1; all little-endian) and a
//! payload. The rest of a block is zero when it is shorter than a header. Type 1 is a whole record;
//! 2, 3 and 4 are the first, middle and last fragment of one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use conclave_storage::Fault;

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;
/// The least that a disk writes.
const SECTOR: usize = 512;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// The verdict on a write-ahead log, before RocksDB opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wal {
    /// Every record passes its checksum, or there is none.
    Whole,
    /// The last record of the newest file was being written when the member died.
    TornTail,
}

/// Reads every write-ahead log file in `dir`: tens of MiB at most, because a file ends when the
/// memtables it protects are flushed.
///
/// # Errors
/// [`Fault::Damaged`] when a record that must have been synced does not check.
pub(crate) fn judge(dir: &Path) -> Result<Wal, Fault> {
    let files = wal_files(dir)?;
    let mut older_torn = false;
    for (position, file) in files.iter().enumerate() {
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            // Another process that has the store open may just have removed the file. Opening will
            // report that the store is in use.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Fault::io("read", file, &e)),
        };
        let Some(bad) = first_bad(&bytes) else {
            continue;
        };
        if let Some(later) = record_after(&bytes, bad) {
            let detail = format!(
                "the record at byte {bad} does not check and a later one, at byte {later}, does: \
                 acknowledged writes are lost"
            );
            return Err(Fault::damaged(file, detail));
        }
        if !is_torn(&bytes, bad) {
            let detail = format!(
                "the last record, at byte {bad}, is complete and does not check: acknowledged \
                 writes may be lost"
            );
            return Err(Fault::damaged(file, detail));
        }
        if position + 1 == files.len() {
            if older_torn {
                let detail = "the ends of two write-ahead logs are torn";
                return Err(Fault::damaged(file, detail));
            }
            return Ok(Wal::TornTail);
        }
        // A torn file stays behind when the member dies again just after recovering from it.
        // RocksDB knows from its manifest whether it still needs the file, and in the strict mode
        // refuses to open when it does.
        older_torn = true;
    }
    Ok(Wal::Whole)
}

/// The write-ahead log files, oldest first.
fn wal_files(dir: &Path) -> Result<Vec<PathBuf>, Fault> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Fault::io("read", dir, &e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Fault::io("read", dir, &e))?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (Some(number), Some("log")) = (number, path.extension().and_then(|e| e.to_str())) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Position of the first byte that is not part of a whole record.
fn first_bad(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut record_start = None;
    while at < bytes.len() {
        let block_rest = BLOCK - at % BLOCK;
        if block_rest < HEADER {
            let filler_end = bytes.len().min(at + block_rest);
            if bytes[at..filler_end].iter().any(|&byte| byte != 0) {
                return Some(at);
            }
            at = filler_end;
            continue;
        }
        let Some((kind, next)) = fragment(bytes, at) else {
            return Some(at);
        };
        match (kind, record_start) {
            (FULL, None) => {}
            (FIRST, None) => record_start = Some(at),
            (MIDDLE, Some(_)) => {}
            (LAST, Some(_)) => record_start = None,
            _ => return Some(at),
        }
        at = next;
    }
    record_start
}

/// Position of the first record that begins after `bad` and whose first fragment passes its
/// checksum. Middle and last fragments do not count: they may belong to the torn record. The length
/// field at `bad` cannot be trusted, so every later byte is a candidate.
fn record_after(bytes: &[u8], bad: usize) -> Option<usize> {
    (bad + 1..bytes.len().saturating_sub(HEADER)).find(|&at| {
        matches!(bytes[at + 6], FULL | FIRST)
            && BLOCK - at % BLOCK >= HEADER
            && fragment(bytes, at).is_some()
    })
}

/// True if a part of the record that fails at `bad`, the last one, was never written.
fn is_torn(bytes: &[u8], bad: usize) -> bool {
    let Some(header) = bytes.get(bad..bad + HEADER) else {
        return true;
    };
    if fragment(bytes, bad).is_some() {
        // The fragments that should follow are missing.
        return true;
    }
    let block_end = bad - bad % BLOCK + BLOCK;
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    // A header that was not written as a whole may have any length.
    let end = (bad + HEADER + length).min(block_end);
    end > bytes.len() || has_missing_sector(bytes, bad, end)
}

/// True if all bytes of a sector in `from..end`, or of what is in there of it, are zero.
fn has_missing_sector(bytes: &[u8], from: usize, end: usize) -> bool {
    let mut at = from;
    while at < end {
        let next = (at - at % SECTOR + SECTOR).min(end);
        if bytes[at..next].iter().all(|&byte| byte == 0) {
            return true;
        }
        at = next;
    }
    false
}

/// Type and end of the fragment at `at`, if it is complete and passes its checksum.
fn fragment(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let header = bytes.get(at..at + HEADER)?;
    let masked = u32::from_le_bytes(header[..4].try_into().ok()?);
    let length = usize::from(u16::from_le_bytes(header[4..6].try_into().ok()?));
    let end = at + HEADER + length;
    if end > bytes.len() || HEADER + length > BLOCK - at % BLOCK {
        return None;
    }
    let crc = masked.wrapping_sub(0xa282_ead8).rotate_left(15);
    (crc32c::crc32c(&bytes[at + 6..end]) == crc).then_some((header[6], end))
}
