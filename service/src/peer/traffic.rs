//! Bytes of messages exchanged with each member, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts for one member since the process started.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// With whom.
    pub member_id: u64,
    /// Encoded parcels given to the network; some of them may not have arrived.
    pub sent_bytes: u64,
    /// Encoded parcels taken in.
    pub received_bytes: u64,
}

impl Counts {
    pub(super) fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn now(&self, member_id: u64) -> Traffic {
        Traffic {
            member_id,
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
        }
    }
}
