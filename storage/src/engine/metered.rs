//! Reads that are counted while they run, and can be stopped.
//!
//! How much a read touches is known only by doing it: a range of two keys may hold two rows or two
//! million. A [`Meter`] is asked before each row. It may count and stop what has become too large
//! for where it runs, make it wait while others take their turn, or end it because its caller has
//! gone. The code that reads knows nothing of this: to it, a scan that was stopped is at its end.
//! So what it returns then is wrong, and [`crate::reader::Reader`] returns
//! [`crate::reader::ReadError::Stopped`] in its place.

use bytes::Bytes;

use super::{Direction, Read, Scan, Space};
use crate::fault::Fault;

/// Counts what a read touches and decides whether it goes on.
pub trait Meter: Send + Sync {
    /// A row of this size is about to be read. False stops the read, for good.
    fn row(&self, size_bytes: usize) -> bool;

    /// Whether the read was stopped.
    fn has_stopped(&self) -> bool;
}

/// A read side under a meter.
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
}
