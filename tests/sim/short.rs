//! The short run of the simulator: a thousand seeds, those that once found something, and one seed
//! in two processes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::{Command, Output};
use std::sync::Mutex;

/// Seeds of the short run, from 1 on.
const SEEDS: u64 = 1_000;

/// Runs seeds and returns those that failed, with the rule that was violated.
fn failures(seeds: &[u64]) -> Vec<String> {
    let failed = Mutex::new(Vec::new());
    sim::run_all(seeds, |seed, run| {
        if let Err(violation) = run {
            failed
                .lock()
                .unwrap()
                .push(format!("seed {seed}: {violation}"));
        }
    });
    failed.into_inner().unwrap()
}

#[test]
fn a_thousand_seeds_violate_no_rule() {
    let seeds: Vec<u64> = (1..=SEEDS).collect();
    assert_eq!(failures(&seeds), [""; 0]);
}

/// The first word of each line of `seeds.txt` is a seed; the rest is its story.
#[test]
fn seeds_that_found_something_violate_no_rule() {
    let lines = include_str!("seeds.txt").lines();
    let words = lines.filter_map(|line| line.split_whitespace().next());
    let seeds: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    assert!(!seeds.is_empty());
    assert_eq!(failures(&seeds), [""; 0]);
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
