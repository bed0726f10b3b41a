//! Reads that are counted while they run, and that can be stopped.
//!
//! The size of a read is known only by doing it: a range of two keys may hold two rows or two
//! million. So a [`Meter`] is asked before each row. It may stop a read that has become too large
//! for its thread, make it wait while other reads take their turn, or stop it because its caller
//! has gone. The code that reads is not aware of the meter: it takes a stopped scan for one that
//! has reached its end. So its result is wrong after a stop, and `Reader` returns
//! `ReadError::Stopped` instead of it.

use bytes::Bytes;

use super::{Direction, Read, Scan, Space};
use crate::fault::Fault;

/// Counts the rows of a read and decides whether the read continues.
pub trait Meter: Send + Sync {
    /// Called before a row of this size is read. Returning false stops the read for good.
    fn row(&self, size_bytes: usize) -> bool;

    /// True after the read was stopped.
    fn has_stopped(&self) -> bool;
}

/// Reads under a meter.
pub(crate) struct Metered<'a> {
    pub(crate) read: &'a dyn Read,
    pub(crate) meter: &'a dyn Meter,
}

impl Read for Metered<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let value = self.read.get(space, key)?;
        let size_bytes = value.as_ref().map_or(0, Bytes::len);
        Ok(value.filter(|_| self.meter.row(size_bytes)))
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        let row = self.read.first_in_prefix(space, from)?;
        let size_bytes = row
            .as_ref()
            .map_or(0, |(key, value)| key.len() + value.len());
        Ok(row.filter(|_| self.meter.row(size_bytes)))
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        let scan = self.read.scan(space, from, to, direction)?;
        Ok(Box::new(MeteredScan {
            scan,
            meter: self.meter,
        }))
    }
}

/// Rows that are passed over between two looks at the meter.
const SKIPPED_AT_ONCE: usize = 64;
/// Rows that can be passed over in the time that one is read in: a row of the space that only has
/// keys takes a third of a microsecond, a row with a value of 1 KiB takes three.
pub const SKIPPED_PER_ROW: usize = 8;

struct MeteredScan<'a> {
    scan: Box<dyn Scan + 'a>,
    meter: &'a dyn Meter,
}

impl Scan for MeteredScan<'_> {
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, Fault> {
        let row = self.scan.next()?;
        Ok(row.filter(|(key, value)| self.meter.row(key.len() + value.len())))
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.scan.seek(key)
    }

    fn skip(&mut self, pairs: usize) -> Result<usize, Fault> {
        let mut skipped = 0;
        while skipped < pairs {
            let step = SKIPPED_AT_ONCE.min(pairs - skipped);
            let passed = self.scan.skip(step)?;
            skipped += passed;
            let goes_on = (0..passed.div_ceil(SKIPPED_PER_ROW)).all(|_| self.meter.row(0));
            if passed < step || !goes_on {
                break;
            }
        }
        Ok(skipped)
    }
}
