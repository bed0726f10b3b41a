//! Deterministic simulation: clusters of the production core in one thread, under faults.
//!
//! A *seed* decides everything: how many members there are, whose owner takes a turn, which message
//! arrives, is lost, repeated or overtaken, when a process dies and what of its unsynced writes is
//! on its disk, when a member is paused and how far its clock is off, what clients ask. The same
//! seed gives the same run, so a violated rule is found again by its number:
//!
//! ```text
//! make sim SEEDS=10000      runs that many
//! SEED=7 make sim           runs one, and prints every step
//! ```
//!
//! What is real: consensus, driver, log writer, log, applier, state machine, leases, watch hub,
//! handle, all as in production, on the engine in memory. What is not: time ([`time`]), the network
//! ([`network`]), the disks, and the threads, whose turns the [`world`] gives out one by one. The
//! rules are the [`oracle`]'s.
//!
//! After a few thousand steps all faults end, and then the cluster must make progress: each member
//! answers a write, and members and watchers come to the same revision.

pub mod clients;
pub mod member;
pub mod network;
pub mod oracle;
pub mod time;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use oracle::Violation;
use world::Run;

/// Runs a seed; a panic is a violation as well.
///
/// # Errors
/// The rule that was violated.
pub fn run(seed: u64, is_printed: bool) -> Result<Run, Violation> {
    let run = catch_unwind(AssertUnwindSafe(|| world::run(seed, is_printed)));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a text")))
    })
}
