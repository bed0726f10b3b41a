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
//! handle, snapshots and changes of the members, all as in production, on states and a log in
//! memory. What is not: time ([`time`]), the network ([`network`]), the disks, the threads, whose
//! turns the [`world`] gives out one by one, and those for work that blocks ([`work`]). The rules
//! are the [`oracle`]'s.
//!
//! After a few thousand steps all faults end, and then the cluster must make progress: each member
//! answers a write, those that were removed have ended, and members and watchers come to the same
//! revision.

pub mod administration;
pub mod clients;
pub mod member;
pub mod network;
pub mod oracle;
pub mod time;
pub mod trace;
pub mod work;
pub mod world;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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

/// Runs seeds on all cores, and reports each run when it ends.
pub fn run_all(seeds: &[u64], report: impl Fn(u64, Result<Run, Violation>) + Sync) {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    report(*seed, run(*seed, false));
                }
            });
        }
    });
}
