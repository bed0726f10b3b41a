//! `conclave-sim`: runs seeds until one fails.
//!
//! `SEED` runs one and prints every step; `SEEDS` says how many (1,000), and `FIRST` from which on
//! (1).
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::env;
use std::fmt;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sim::network::transfers::Counts;
use sim::world::Run;

fn main() -> ExitCode {
    if let Some(seed) = number("SEED") {
        return one(seed);
    }
    many(
        number("FIRST").unwrap_or(1),
        number("SEEDS").unwrap_or(1_000),
    )
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

/// What many runs came to.
#[derive(Default)]
struct Sum {
    snapshots: Counts,
    changes: u64,
    half_installed: u64,
    refused_logs: u64,
    denied: u64,
    /// Seeds with an installed snapshot, and with a changed member.
    with_installed: u64,
    with_changes: u64,
}

impl Sum {
    fn add(&mut self, run: &Run) {
        let (sum, one) = (&mut self.snapshots, run.snapshots);
        sum.begun += one.begun;
        sum.received += one.received;
        sum.torn += one.torn;
        sum.installed += one.installed;
        self.changes += run.changes;
        self.half_installed += run.half_installed;
        self.refused_logs += run.refused_logs;
        self.denied += run.denied;
        self.with_installed += u64::from(one.installed > 0);
        self.with_changes += u64::from(run.changes > 0);
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            begun,
            received,
            torn,
            installed,
        } = self.snapshots;
        write!(
            f,
            "snapshots: {begun} begun, {received} received ({torn} cut short), {installed} in \
             place in {} seeds ({} half done at a start); {} changes of the members in {} seeds; \
             {} damaged logs; {} writes denied to a user",
            self.with_installed,
            self.half_installed,
            self.changes,
            self.with_changes,
            self.refused_logs,
            self.denied
        )
    }
}

fn one(seed: u64) -> ExitCode {
    match sim::run(seed, true) {
        Ok(run) => {
            println!("seed {seed}: trace {:016x}, {run:?}", run.trace);
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("seed {seed}: {violation}");
            ExitCode::FAILURE
        }
    }
}

fn many(first: u64, count: u64) -> ExitCode {
    let started = Instant::now();
    let simulated_ms = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    let failed = Mutex::new(Vec::new());
    let seeds: Vec<u64> = (first..first + count).collect();
    sim::run_all(&seeds, |seed, run| match run {
        Ok(run) => {
            simulated_ms.fetch_add(run.simulated_ms, Ordering::Relaxed);
            sum.lock().expect("no panic").add(&run);
        }
        Err(violation) => {
            println!("seed {seed}: {violation}");
            failed.lock().expect("no panic").push(seed);
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let simulated = simulated_ms.load(Ordering::Relaxed) as f64 / 1000.0;
    let mut failed = failed.into_inner().expect("no panic");
    failed.sort_unstable();
    println!(
        "{count} seeds in {seconds:.1} s, {:.0} simulated seconds a second, {} failed",
        simulated / seconds,
        failed.len()
    );
    println!("{}", sum.into_inner().expect("no panic"));
    match failed.first() {
        Some(seed) => {
            println!("to see the first: SEED={seed} make sim");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}
