//! The rules of the house that a machine can check. Each test is one rule and lists every offender.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use conclave_proto::ApiError;
use conclave_service::config::{self, Invocation};

mod functions;
mod hash_order;
mod imports;
mod visibility;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 100;

/// What may lie at the top. Everything else has a place in one of the folders.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "clients",
    "deploy",
    "proto",
    "rust-toolchain.toml",
    "service",
    "storage",
    "tests",
];

/// What the state machine's crate must not be able to reach: time, chance, threads, the network,
/// consensus, C++.
const NOT_IN_STORAGE: &[&str] = &[
    "tokio",
    "tonic",
    "rand",
    "raft",
    "hyper",
    "axum",
    "conclave-core",
    "rocksdb",
    "conclave-rocks",
    "conclave-service",
];

/// What a member without a network must not be able to reach: fronts, the command line, metrics,
/// chance.
const NOT_IN_CORE: &[&str] = &[
    "axum",
    "clap",
    "hyper",
    "prometheus",
    "rand",
    "rocksdb",
    "rustls",
    "tonic",
    "conclave-service",
];

/// The source folders of our crates.
const CRATES: &[&str] = &[
    "proto/src",
    "storage/src",
    "service/core/src",
    "service/src",
    "clients/rust/src",
];

/// Packages by the folder that their sources are in, inner folders first.
const PACKAGES: &[&str] = &[
    "clients/rust",
    "proto/src",
    "proto/tests",
    "service/core",
    "service/src/main.rs",
    "service",
    "storage/rocks",
    "storage/src",
    "storage/tests",
    "tests/bench",
    "tests/fuzz",
    "tests/sim",
    "tests",
];

/// Packages whose exports are for the other packages here. The client's are for everybody.
const EXPORTING: &[&str] = &[
    "proto/src",
    "service/core",
    "service",
    "storage/rocks",
    "storage/src",
];

/// Exports that nothing outside of their crate names yet, and why.
const EXPORTED_ALL_THE_SAME: &[(&str, &str)] = &[
    ("set_disk_full", "a fault of the simulated disk"),
    (
        "open_checkpoint",
        "the way back from the simulated disk's checkpoint",
    ),
];

/// Errors that no test of the wire meets, and why.
const NOT_ON_THE_WIRE: &[(ApiError, &str)] = &[
    (
        ApiError::WatchCanceled,
        "etcd's clients make it; no server sends it",
    ),
    (ApiError::MemberExist, MEMBERSHIP),
    (ApiError::ClusterIDMismatch, MEMBERSHIP),
    (ApiError::NotSupportedForLearner, MEMBERSHIP),
    (ApiError::NotLeader, MEMBERSHIP),
    (ApiError::LeaderChanged, SEVERAL),
    (ApiError::Unhealthy, SEVERAL),
    (ApiError::TimeoutDueToLeaderFail, SEVERAL),
    (ApiError::TimeoutDueToConnectionLost, SEVERAL),
    (ApiError::NotPrimaryLessor, SEVERAL),
    (ApiError::Timeout, LOAD),
    (ApiError::TimeoutWaitAppliedIndex, LOAD),
    (ApiError::RequestTooManyRequests, LOAD),
    (
        ApiError::Stopped,
        "the connection goes at the same moment, so a client sees either",
    ),
    (
        ApiError::Canceled,
        "a client that canceled does not see the answer",
    ),
    (ApiError::NotCapable, "there is one cluster version so far"),
    (ApiError::WrongDowngradeVersionFormat, DOWNGRADE),
    (ApiError::InvalidDowngradeTargetVersion, DOWNGRADE),
    (ApiError::ClusterVersionUnavailable, DOWNGRADE),
    (ApiError::DowngradeInProcess, DOWNGRADE),
    (ApiError::NoInflightDowngrade, DOWNGRADE),
];
const MEMBERSHIP: &str = "a race between two changes, which storage/scripts/members.txt decides";
const SEVERAL: &str = "depends on what an election meets; the tier `cluster` takes either";
const DOWNGRADE: &str = "downgrades are not served yet";
const LOAD: &str = "needs a server that is slower than its clients; tested beside the core";

#[test]
fn files_are_of_a_readable_size() {
    let long = |path: &PathBuf| {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{} has {lines} lines", shown(path)))
    };
    none(sources().iter().filter_map(long));
}

/// A module's file has the module's name.
#[test]
fn no_file_is_named_mod_rs() {
    let is_mod = |path: &PathBuf| path.ends_with("mod.rs").then(|| shown(path));
    none(sources().iter().filter_map(is_mod));
}

#[test]
fn functions_fit_on_a_screen() {
    let mut long = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for function in functions::longer_than(&text, FUNCTION_LINES_MAX) {
            long.push(format!("{}: {function}", shown(&path)));
        }
    }
    none(long);
}

#[test]
fn lines_are_of_a_readable_width() {
    let mut wide = Vec::new();
    for path in sources() {
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let chars = line.chars().count();
            if chars > LINE_CHARS_MAX {
                wide.push(format!(
                    "{}:{} has {chars} characters",
                    shown(&path),
                    number + 1
                ));
            }
        }
    }
    none(wide);
}

#[test]
fn the_state_machine_cannot_reach_the_world() {
    depends_on_none_of("storage", NOT_IN_STORAGE);
}

#[test]
fn the_core_cannot_reach_the_network() {
    depends_on_none_of("service/core", NOT_IN_CORE);
}

/// No manifest's `[dependencies]` name one of these.
#[track_caller]
fn depends_on_none_of(package: &str, banned: &[&str]) {
    let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let names = dependencies
        .lines()
        .map(|line| line.split(['.', ' ', '=']).next().unwrap());
    none(names.filter(|name| banned.contains(name)));
}

/// A module stands above all that it imports, so a reader can go from the bottom up.
#[test]
fn modules_import_each_other_in_one_direction() {
    let cycles = CRATES.iter().flat_map(|folder| {
        let src = root().join(folder);
        let graph = imports::imports(&src, &files(&src, "rs"));
        imports::in_cycles(&graph)
    });
    none(cycles);
}

#[test]
fn one_crate_names_rocksdb() {
    only_in(
        &["rocksdb::"],
        &["storage/rocks/src/"],
        &["storage", "service"],
    );
}

#[test]
fn raft_stays_inside_consensus() {
    only_in(
        &["raft::", "protobuf::"],
        &["service/core/src/consensus/"],
        &["service"],
    );
}

#[test]
fn one_file_reads_the_clock() {
    let allowed = ["service/core/src/clock.rs"];
    only_in(
        &["Instant::now", "SystemTime::now"],
        &allowed,
        &["storage/src", "service"],
    );
}

/// What a simulation must control comes through a seam. The other files named here have threads
/// that a simulation does not start: the owners' own, and those for calls that it does not make.
#[test]
fn the_core_goes_through_its_seams() {
    let core = "service/core/src";
    let in_core = |files: &[&str]| -> Vec<String> {
        files.iter().map(|file| format!("{core}/{file}")).collect()
    };
    let rules: [(&[&str], &[&str]); 4] = [
        (&["tokio::time"], &["clock.rs"]),
        (&["rand::"], &[]),
        (
            &["thread::Builder", "thread::spawn"],
            &["workers.rs", "fatal.rs"],
        ),
        (
            &["spawn_blocking"],
            &["long_reads.rs", "handle.rs", "member.rs"],
        ),
    ];
    for (words, allowed) in rules {
        let allowed = in_core(allowed);
        let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
        only_in(words, &allowed, &[core, "storage/src"]);
    }
    // States on disk are the `StateStore`'s. The golden scripts are files of a test.
    let golden = "service/core/src/consensus/golden.rs";
    only_in(&["fs::", "state_dir::"], &[golden], &[core]);
}

/// An item that only its own crate names is not exported, so that the compiler finds dead code.
#[test]
fn what_is_exported_is_used_elsewhere() {
    let of = |path: &str| {
        let package = PACKAGES.iter().find(|folder| path.starts_with(*folder));
        package.map_or_else(String::new, |package| (*package).to_owned())
    };
    let paths = sources();
    let texts = paths.iter().map(|path| {
        let (name, text) = (shown(path), fs::read_to_string(path).unwrap());
        (of(&name), name, text)
    });
    let unused = visibility::unused(&texts.collect::<Vec<_>>(), EXPORTING);
    let is_excused = |line: &String| {
        let mut excused = EXPORTED_ALL_THE_SAME.iter();
        excused.any(|(name, _)| line.contains(&format!(" {name}(")))
    };
    none(unused.into_iter().filter(|line| !is_excused(line)));
}

/// Which of several that are ready is taken must not depend on chance.
#[test]
fn selects_of_the_core_are_biased() {
    let mut found = Vec::new();
    for path in files(&root().join("service/core/src"), "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let selects = text.split("select! {").skip(1);
        let unbiased = selects.filter(|rest| !rest.trim_start().starts_with("biased;"));
        found.extend(unbiased.map(|_| shown(&path)));
    }
    none(found);
}

/// The order of a hash map must not reach an answer, a proposal or a trace.
#[test]
fn storage_and_core_do_not_iterate_in_hash_order() {
    let folders = ["storage/src", "service/core/src"];
    let files = folders
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"));
    none(files.flat_map(|path| {
        let found = hash_order::iterations(&fs::read_to_string(&path).unwrap());
        let name = shown(&path);
        found.into_iter().map(move |code| format!("{name}: {code}"))
    }));
}

#[test]
fn the_top_is_as_agreed() {
    let entries = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.to_string_lossy().into_owned());
    // Tools need dot-files where they are; what a build or a run leaves is not part of the tree.
    let left = |name: &str| name == "target" || name == "data" || name.ends_with(".conclave");
    none(
        names.filter(|name| !name.starts_with('.') && !left(name) && !TOP.contains(&name.as_str())),
    );
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for path in files(&root(), "md") {
        let text = fs::read_to_string(&path).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !target.is_empty() && !path.parent().unwrap().join(target).exists() {
                broken.push(format!("{} links to {target}", shown(&path)));
            }
        }
    }
    none(broken);
}

#[test]
fn every_flag_has_its_help() {
    let Ok(Invocation::Print(help)) = config::parse(["--help".to_owned()], []) else {
        panic!("--help prints")
    };
    let lines: Vec<_> = help.lines().collect();
    let mut flags = 0;
    for (index, line) in lines.iter().enumerate() {
        let Some(flag) = line
            .trim_start()
            .strip_prefix("--")
            .or(line.trim().strip_prefix("-h, --"))
        else {
            continue;
        };
        flags += 1;
        // Beside the flag after two blanks, or on the next line.
        let beside = flag.split_once("  ").map_or("", |(_, text)| text).trim();
        let below = lines.get(index + 1).map_or("", |line| line.trim());
        assert!(
            !beside.is_empty() || !(below.is_empty() || below.starts_with("--")),
            "{line}"
        );
    }
    assert!(flags > 20, "the help has {flags} flags");
}

#[test]
fn tests_do_not_sleep_and_are_not_put_off() {
    let banned = ["sleep(", "#[ignore", "todo!", "unimplemented!", "dbg!"];
    let tests = root().join("tests");
    let mut found = Vec::new();
    // The load generator is no test: it paces itself and samples.
    // The simulator's sleep takes no time.
    let is_test = |path: &&PathBuf| {
        let others = ["tidy", "bench", "sim"];
        !others
            .iter()
            .any(|folder| path.starts_with(tests.join(folder)))
    };
    for path in files(&tests, "rs").iter().filter(is_test) {
        let text = fs::read_to_string(path).unwrap();
        found.extend(
            banned
                .iter()
                .filter(|word| text.contains(*word))
                .map(|word| format!("{} has {word}", shown(path))),
        );
    }
    none(found);
}

#[test]
fn every_error_is_met_on_the_wire_or_has_a_reason_not_to_be() {
    let mut met = BTreeSet::new();
    let tiers = ["tests/wire", "tests/cluster"];
    for path in tiers
        .iter()
        .flat_map(|tier| files(&root().join(tier), "rs"))
    {
        let text = fs::read_to_string(path).unwrap();
        for rest in text.split("ApiError::").skip(1) {
            let name: String = rest
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            met.insert(name);
        }
    }
    let excused: BTreeSet<_> = NOT_ON_THE_WIRE
        .iter()
        .map(|(error, _)| format!("{error:?}"))
        .collect();
    let all = ApiError::ALL.iter().map(|error| format!("{error:?}"));
    none(all.filter(|name| met.contains(name) == excused.contains(name)));
}

/// Nothing is left over.
#[track_caller]
fn none<T: ToString>(offenders: impl IntoIterator<Item = T>) {
    let offenders: Vec<_> = offenders
        .into_iter()
        .map(|offender| offender.to_string())
        .collect();
    assert!(
        offenders.is_empty(),
        "{} offenders:\n{}",
        offenders.len(),
        offenders.join("\n")
    );
}

/// The words occur, outside comments and tests, in the allowed files only.
#[track_caller]
fn only_in(words: &[&str], allowed: &[&str], folders: &[&str]) {
    let mut found = Vec::new();
    for path in folders
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
    {
        let name = shown(&path);
        if allowed.iter().any(|allowed| name.starts_with(allowed)) || name.contains("tests") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && words.iter().any(|word| names(line, word)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none(found);
}

/// The line has the word, and not as the end of a longer one.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Our Rust files.
fn sources() -> Vec<PathBuf> {
    ["proto", "storage", "service", "clients", "tests"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .collect()
}

/// The files of a kind below a folder, in order; build output and hidden folders left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let is_built = matches!(&*name, "target" | "build" | "dist" | "node_modules");
            if !is_built && !name.starts_with('.') {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
