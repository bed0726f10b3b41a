//! Events of several revisions in one response.
//!
//! A response costs a message on the stream, a header and a turn of the client's loop, whether it
//! carries one event or a thousand. So what a watcher missed goes out together: what the hub
//! replays in one message, and what a watcher that catches up finds in several steps of history.
//! Whole revisions are packed, in order, never a part of one.
//!
//! [`Packs`] holds what was found and not yet written into a response; [`Allowance`] bounds the
//! memory that takes. A stream may always hold one step of history, as much as it reads at a time.
//! What it keeps for the next step is taken from a stock that all streams share, and while the
//! stock is empty a stream sends what each step found.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::events::Events;
use super::queue::Tag;

/// How much one watcher's pack holds. One revision always fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackMax {
    /// Revisions.
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

/// The events of one watcher, in order.
#[derive(Debug, Default)]
struct Pack {
    events: Vec<Arc<Events>>,
    bytes: usize,
}

impl Packs {
    /// Adds the next revision of a watcher. Returns the pack before it if both together would
    /// exceed `max`; that must be sent first.
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

    /// Bytes of all packs. What several watchers share counts for each of them, as it will be
    /// written for each.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every pack, by watcher.
    pub(crate) fn into_packs(self) -> impl Iterator<Item = (Tag, Vec<Arc<Events>>)> {
        self.packs.into_iter().map(|(tag, pack)| (tag, pack.events))
    }
}

/// What one stream may hold besides the step of history it reads: what it has taken from the stock.
#[derive(Debug)]
pub(crate) struct Allowance {
    stock: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Allowance {
    /// Takes nothing yet. The stock's permits are bytes.
    pub(crate) fn new(stock: Arc<Semaphore>) -> Allowance {
        Allowance { stock, taken: None }
    }

    /// Whether a stream that has packed `packed_bytes` may read another step before it sends them:
    /// its own allowance is for the step, so what is packed must come from the stock.
    pub(crate) fn covers_another_step(&mut self, packed_bytes: usize) -> bool {
        let taken = self
            .taken
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = packed_bytes.saturating_sub(taken);
        if missing == 0 {
            return true;
        }
        // More than the stock ever has is refused like what it does not have now.
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

    /// What was packed is sent: gives back what it took.
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
