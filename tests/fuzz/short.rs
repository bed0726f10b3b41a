//! The short run: each target gets all its kept inputs, and then a limited number of mutations of
//! them.
//!
//! The inputs depend only on the seed, which `CONCLAVE_TEST_SEED` sets. A failing input is written
//! to a file; its path is printed with the command that runs it again. `CONCLAVE_FUZZ_INPUTS=PATH`
//! gives a target only that file, or the files of that folder.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(
    clippy::print_stdout,
    reason = "the numbers of a run, with --nocapture"
)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conclave_proto::FILE_DESCRIPTOR_SET;
use fuzz::calls::METHODS;
use fuzz::corpus::{self, Kept};
use fuzz::mutate::Mutator;
use fuzz::panics;
use fuzz::target::{self, Target};
use prost::Message as _;

/// Used without `CONCLAVE_TEST_SEED`.
const SEED: u64 = 1;

/// Generates one test per target.
macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            short(stringify!($name));
        })+

        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

targets![
    messages,
    requests,
    connections,
    peers,
    raft,
    entries,
    snapshots
];

#[test]
fn every_target_has_its_short_run() {
    let names: Vec<_> = target::TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, TESTED);
}

#[test]
fn every_method_is_called() {
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let described = set.file.iter().flat_map(|file| {
        let package = file.package();
        file.service.iter().flat_map(move |service| {
            let methods = service.method.iter();
            methods.map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
        })
    });
    let called: BTreeSet<_> = METHODS.iter().map(|method| method.path).collect();
    let missing: Vec<_> = described
        .filter(|path| !called.contains(path.as_str()))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// A seed that is empty or has no story is a mistake.
#[test]
fn every_seed_has_its_story() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let stories = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut without = Vec::new();
    for target in target::TARGETS {
        for seed in corpus::inputs(&corpus::seeds(target.name)) {
            let name = seed.path.strip_prefix(&folder).unwrap();
            if !stories.contains(&format!("`{}`", name.display())) {
                without.push(name.to_owned());
            }
        }
    }
    assert!(without.is_empty(), "{without:?}");
}

fn short(name: &str) {
    // One at a time: a panic in a member is attributed to the running target.
    let _turn = turn();
    panics::watch();
    panics::forget();
    let named = target::named(name).unwrap();
    let mut run = Run {
        name,
        target: (named.open)(),
        last: Vec::new(),
    };
    if let Ok(path) = std::env::var("CONCLAVE_FUZZ_INPUTS") {
        let given = corpus::inputs(Path::new(&path));
        assert!(!given.is_empty(), "no inputs in {path}");
        run.all(&given);
        return run.check();
    }
    let kept = corpus::kept(name);
    run.all(&kept);
    let seed = harness::variable("CONCLAVE_TEST_SEED").unwrap_or(SEED);
    println!(
        "{name}: {} inputs, then {} mutations of them with seed {seed}",
        kept.len(),
        named.made
    );
    let mut mutator = Mutator::new(seed, named.bytes_max);
    for _ in 0..named.made {
        let input = mutator.next(&kept);
        run.one(&input);
    }
    run.check();
}

/// A target that processes inputs.
struct Run<'a> {
    name: &'a str,
    target: Box<dyn Target>,
    last: Vec<u8>,
}

impl Run<'_> {
    fn all(&mut self, kept: &[Kept]) {
        for input in kept {
            self.one(&input.bytes);
        }
    }

    fn one(&mut self, input: &[u8]) {
        // Written before the input runs, since it may end the process.
        let path = file(self.name, "last");
        fs::write(&path, input).unwrap();
        self.last = input.to_vec();
        let run = panic::catch_unwind(AssertUnwindSafe(|| self.target.run(input)));
        if let Err(panic) = run {
            self.fail(panic);
        }
    }

    fn check(mut self) {
        let check = panic::catch_unwind(AssertUnwindSafe(|| self.target.check()));
        if let Err(panic) = check {
            self.fail(panic);
        }
        fs::remove_file(file(self.name, "last")).unwrap();
    }

    fn fail(&self, panic: Box<dyn std::any::Any + Send>) -> ! {
        let name = self.name;
        let path = file(name, "failed");
        fs::write(&path, &self.last).unwrap();
        let path = path.display();
        println!(
            "the input is in {path}; to run it again:\n  CONCLAVE_FUZZ_INPUTS={path} cargo test \
             --release --workspace --test fuzz {name}"
        );
        panic::resume_unwind(panic)
    }
}

fn file(name: &str, what: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.{what}"))
}

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
