//! Meters of reads: a budget for quick reads, turns for long reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use conclave_storage::engine::Meter;
use tokio_util::sync::CancellationToken;

use super::turns::Turns;

/// Cost that a paced read spends before it offers its turn to other reads: about a millisecond.
const TURN_COST: usize = 512 << 10;
/// Cost of a row in addition to its bytes.
const ROW_COST: usize = 512;

/// Meter that stops a read after a number of rows or bytes.
#[derive(Debug)]
pub(super) struct Budget {
    rows: AtomicUsize,
    bytes: AtomicUsize,
    exceeded: AtomicBool,
}

impl Budget {
    pub(super) fn new(rows: usize, bytes: usize) -> Budget {
        Budget {
            rows: AtomicUsize::new(rows),
            bytes: AtomicUsize::new(bytes),
            exceeded: AtomicBool::new(false),
        }
    }
}

/// Subtracts `amount` from `left`. If less is left, sets `left` to 0 and returns false. Only one
/// thread reads under a meter, so no other access comes between the load and the store.
fn spend(left: &AtomicUsize, amount: usize) -> bool {
    let rest = left.load(Ordering::Relaxed).checked_sub(amount);
    left.store(rest.unwrap_or(0), Ordering::Relaxed);
    rest.is_some()
}

impl Meter for Budget {
    fn row(&self, size_bytes: usize) -> bool {
        let within = spend(&self.rows, 1) && spend(&self.bytes, size_bytes);
        if !within {
            self.exceeded.store(true, Ordering::Relaxed);
        }
        within
    }

    fn has_stopped(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }
}

/// Meter that lets a read run in turns, without a limit, until the read is abandoned or the server
/// stops.
#[derive(Debug)]
pub(super) struct Paced {
    turns: Arc<Turns>,
    left: AtomicUsize,
    abandoned: Arc<AtomicBool>,
    stopping: CancellationToken,
    stopped: AtomicBool,
}

impl Paced {
    pub(super) fn new(
        turns: Arc<Turns>,
        abandoned: Arc<AtomicBool>,
        stopping: CancellationToken,
    ) -> Paced {
        Paced {
            turns,
            left: AtomicUsize::new(TURN_COST),
            abandoned,
            stopping,
            stopped: AtomicBool::new(false),
        }
    }
}

impl Meter for Paced {
    fn row(&self, size_bytes: usize) -> bool {
        if spend(&self.left, size_bytes + ROW_COST) {
            return !self.has_stopped();
        }
        self.left.store(TURN_COST, Ordering::Relaxed);
        if self.abandoned.load(Ordering::Relaxed) || self.stopping.is_cancelled() {
            self.stopped.store(true, Ordering::Relaxed);
            return false;
        }
        self.turns.pass();
        !self.has_stopped()
    }

    fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_by_rows_and_by_bytes() {
        let rows = Budget::new(2, 100);
        assert!(rows.row(1) && rows.row(1) && !rows.has_stopped());
        assert!(!rows.row(1) && rows.has_stopped());
        let bytes = Budget::new(100, 10);
        assert!(bytes.row(10) && !bytes.row(1) && bytes.has_stopped());
    }

    #[test]
    fn a_paced_read_ends_when_nobody_wants_it() {
        let abandoned = Arc::<AtomicBool>::default();
        let turns = Arc::new(Turns::new(1));
        let paced = Paced::new(turns, Arc::clone(&abandoned), CancellationToken::new());
        assert!((0..10_000).all(|_| paced.row(1)));
        abandoned.store(true, Ordering::Relaxed);
        assert!((0..10_000).any(|_| !paced.row(1)));
        assert!(paced.has_stopped());
    }
}
