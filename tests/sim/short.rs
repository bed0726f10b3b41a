//! The short run of the simulator: a thousand seeds, those that once found something, and one seed
//! in two processes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::{Command, Output};
use std::sync::Mutex;

use sim::world::Run;

/// Seeds of the short run, from 1 on.
const SEEDS: u64 = 1_000;

/// Runs seeds. Returns the runs, and those that failed with the rule that was violated.
fn run(seeds: &[u64]) -> (Vec<Run>, Vec<String>) {
    let (runs, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    sim::run_all(seeds, |seed, run| match run {
        Ok(run) => runs.lock().unwrap().push(run),
        Err(violation) => {
            let line = format!("seed {seed}: {violation}");
            failed.lock().unwrap().push(line);
        }
    });
    (runs.into_inner().unwrap(), failed.into_inner().unwrap())
}

/// The runs are worth something only if what can go wrong happens in them.
#[test]
fn a_thousand_seeds_violate_no_rule() {
    let seeds: Vec<u64> = (1..=SEEDS).collect();
    let (runs, failed) = run(&seeds);
    assert_eq!(failed, [""; 0]);
    let count = |what: fn(&Run) -> bool| runs.iter().filter(|run| what(run)).count();
    assert!(count(|run| run.snapshots.installed > 0) > 100);
    assert!(count(|run| run.snapshots.torn > 0) > 1);
    assert!(count(|run| run.half_installed > 0) > 1);
    assert!(count(|run| run.changes > 0) > 100);
    assert!(count(|run| run.refused_logs > 0) > 20);
    assert!(count(|run| run.denied > 0) > 100);
}

/// The first word of each line of `seeds.txt` is a seed; the rest is its story.
#[test]
fn seeds_that_found_something_violate_no_rule() {
    let lines = include_str!("seeds.txt").lines();
    let words = lines.filter_map(|line| line.split_whitespace().next());
    let seeds: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    assert!(!seeds.is_empty());
    assert_eq!(run(&seeds).1, [""; 0]);
}

#[test]
fn a_seed_is_the_same_run_in_two_processes() {
    for seed in ["3", "17", "1234"] {
        let run = || -> Output {
            let mut simulator = Command::new(env!("CARGO_BIN_EXE_conclave-sim"));
            simulator.env("SEED", seed).output().unwrap()
        };
        let (one, other) = (run(), run());
        assert!(one.status.success(), "{one:?}");
        assert!(one.stdout.len() > 10_000, "a line for each step");
        assert!(one.stdout == other.stdout, "two runs of seed {seed} differ");
    }
}
