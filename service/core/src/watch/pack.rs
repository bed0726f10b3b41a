//! Packing of events of several revisions into one response.
//!
//! A response costs a message on the stream, a header and an iteration of the client's loop, for
//! one event as for a thousand. So events that a watcher missed are sent together: events that the
//! hub replays in one message, and events that a watcher catching up finds in several steps of
//! history. Only whole revisions are packed, in order.
//!
//! [`Packs`] holds events that were found but not yet written into a response; [`Allowance`] bounds
//! the memory for them. A stream may always hold one step of history, which is as much as it reads
//! at a time. Events that it keeps for the next step count against a stock that all streams share.
//! While the stock is empty, a stream sends its events after every step.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::events::Events;
use super::queue::Tag;

/// Limits of one watcher's pack. One revision always fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackMax {
    /// Number of revisions.
    pub(crate) revisions: usize,
    /// Bytes of encoded events.
    pub(crate) bytes: usize,
}

/// Events found for the watchers of a stream, by watcher.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    packs: BTreeMap<Tag, Pack>,
    bytes: usize,
}

/// Events of one watcher, in order.
#[derive(Debug, Default)]
struct Pack {
    events: Vec<Arc<Events>>,
    bytes: usize,
}

impl Packs {
    /// Adds the next revision of a watcher. If the watcher's pack and the revision together would
    /// exceed `max`, returns the pack without the revision; the caller must send it first.
    pub(crate) fn add(
        &mut self,
        tag: Tag,
        events: Arc<Events>,
        max: PackMax,
    ) -> Option<Vec<Arc<Events>>> {
        let added = events.bytes().len();
        let pack = self.packs.entry(tag).or_default();
        let fits = pack.events.len() < max.revisions && pack.bytes + added <= max.bytes;
        let full = (!fits && !pack.events.is_empty()).then(|| {
            self.bytes -= pack.bytes;
            std::mem::take(pack).events
        });
        pack.events.push(events);
        pack.bytes += added;
        self.bytes += added;
        full
    }

    /// Returns the bytes of all packs. Events shared by several watchers count for each of them,
    /// since they are written once for each.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns every pack, by watcher.
    pub(crate) fn into_packs(self) -> impl Iterator<Item = (Tag, Vec<Arc<Events>>)> {
        self.packs.into_iter().map(|(tag, pack)| (tag, pack.events))
    }
}

/// Memory that one stream may hold beside the step of history it reads: its share of the stock.
#[derive(Debug)]
pub(crate) struct Allowance {
    stock: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Allowance {
    /// Creates an allowance that has taken nothing yet. The stock's permits are bytes.
    pub(crate) fn new(stock: Arc<Semaphore>) -> Allowance {
        Allowance { stock, taken: None }
    }

    /// Returns true if a stream that has packed `packed_bytes` may read another step before it
    /// sends them. The stream's own memory is for the step, so packed bytes must be covered by the
    /// stock.
    pub(crate) fn covers_another_step(&mut self, packed_bytes: usize) -> bool {
        let taken = self
            .taken
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = packed_bytes.saturating_sub(taken);
        if missing == 0 {
            return true;
        }
        // A request beyond the whole stock is refused like one beyond its current rest.
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(&self.stock).try_acquire_many_owned(missing) else {
            return false;
        };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }

    /// Returns everything taken to the stock, after the packed events were sent.
    pub(crate) fn reset(&mut self) {
        self.taken = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stock_is_shared_and_given_back() {
        let stock = Arc::new(Semaphore::new(100));
        let mut first = Allowance::new(Arc::clone(&stock));
        let mut second = Allowance::new(Arc::clone(&stock));
        assert!(first.covers_another_step(0), "nothing is packed yet");
        assert_eq!(stock.available_permits(), 100);
        assert!(first.covers_another_step(60) && first.covers_another_step(60));
        assert!(first.covers_another_step(80));
        assert_eq!(stock.available_permits(), 20);
        assert!(!second.covers_another_step(30), "the stock is used up");
        assert!(!second.covers_another_step(usize::MAX));
        first.reset();
        assert!(second.covers_another_step(30));
        drop(second);
        assert_eq!(stock.available_permits(), 100);
    }
}
