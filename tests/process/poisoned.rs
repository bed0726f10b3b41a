//! A log entry that cannot be applied: the process ends, identifies the entry, and skips it only if
//! a flag names it.

use std::path::Path;

use conclave_client::Client;
use conclave_storage::log::EntryKind;
use harness::Process;
use harness::poison::{self, Poison};
use harness::process::{own_place, run_binary};

#[test]
fn each_kind_of_it_is_named_and_can_be_skipped() {
    for (kind, payload, reason) in poison::payloads() {
        let (dir, poison) = poisoned_member(kind, &payload);
        let text = end(dir.path(), &[]);
        let named = format!("log entry {} of term ", poison.index);
        assert!(text.contains(&named) && text.contains(reason), "{text}");
        assert!(text.contains(&poison.flag()), "{text}");
        assert!(text.contains("runbook"), "{text}");
        // At every start.
        assert_eq!(end(dir.path(), &[]), text);
        expect_skipped(dir.path(), poison, reason);
    }
}

#[test]
fn a_cluster_of_one_that_is_forced_stops_at_it_too() {
    let (kind, payload, reason) = poison::payloads().swap_remove(0);
    let (dir, poison) = poisoned_member(kind, &payload);
    let text = end(dir.path(), &["--force-new-cluster"]);
    assert!(
        text.contains(reason) && text.contains(&poison.flag()),
        "{text}"
    );
    let flags = [poison.flag(), "--force-new-cluster".to_owned()];
    let mut process = Process::start_in(dir.path(), &flags.each_ref().map(String::as_str));
    expect_data(&process);
    process.child().kill();
    expect_data(&Process::start_in(dir.path(), &[]));
}

#[test]
fn another_hash_skips_nothing() {
    let (kind, payload, _) = poison::payloads().swap_remove(0);
    let (dir, poison) = poisoned_member(kind, &payload);
    let other = Poison {
        hash: poison.hash ^ 1,
        ..poison
    };
    let text = end(dir.path(), &[&other.flag()]);
    assert!(text.contains("is not skipped"), "{text}");
    assert!(text.contains("names another one"), "{text}");
    // A flag with another index does not help: the member stops at the same entry.
    let elsewhere = Poison {
        index: poison.index + 1,
        ..poison
    };
    let text = end(dir.path(), &[&elsewhere.flag()]);
    assert!(text.contains("cannot be applied"), "{text}");
    expect_skipped(dir.path(), poison, "not a batch of commands");
}

#[test]
fn an_entry_that_can_be_applied_is_not_skipped() {
    // The empty entry that a leader appends at the start of its term.
    let (dir, poison) = poisoned_member(EntryKind::Normal, b"");
    let text = end(dir.path(), &[&poison.flag()]);
    assert!(text.contains("it can be applied"), "{text}");
    expect_data(&Process::start_in(dir.path(), &[]));
}

/// A data directory with one key, whose log ends with this entry.
fn poisoned_member(kind: EntryKind, payload: &[u8]) -> (tempfile::TempDir, Poison) {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start_in(dir.path(), &[]);
    harness::run(async {
        let client = Client::connect([process.endpoint()]).await.unwrap();
        client.put("before", "it").await.unwrap();
    });
    process.child().kill();
    let poison = poison::append(dir.path(), kind, payload.to_vec());
    (dir, poison)
}

/// Expects it to serve without the entry and to log that; later starts need no flag, and warn if
/// there is one.
fn expect_skipped(data_dir: &Path, poison: Poison, reason: &str) {
    let flag = poison.flag();
    let mut process = Process::start_in(data_dir, &[&flag]);
    let lines = process.child().lines();
    let found = |part: &str| lines.iter().find(|line| line.contains(part));
    assert!(
        found("this log entry will be skipped").is_some(),
        "{lines:#?}"
    );
    let skipped = found("a log entry is skipped").unwrap();
    let fields: serde_json::Value = serde_json::from_str(skipped).unwrap();
    assert_eq!(fields["level"], "error");
    assert_eq!(fields["index"], poison.index);
    assert_eq!(fields["hash"], format!("{:08x}", poison.hash));
    assert!(
        fields["reason"].as_str().unwrap().contains(reason),
        "{skipped}"
    );
    expect_data(&process);
    // The state is durable past the entry, whatever follows.
    process.child().kill();
    let mut process = Process::start_in(data_dir, &[&flag]);
    let warned = process.child().line("--skip-log-entry names an entry that");
    assert!(warned.is_some(), "{:#?}", process.child().lines());
    expect_data(&process);
    process.child().kill();
    expect_data(&Process::start_in(data_dir, &[]));
}

fn expect_data(process: &Process) {
    harness::run(async {
        let client = Client::connect([process.endpoint()]).await.unwrap();
        let found = client.get("before").await.unwrap();
        assert_eq!(found.unwrap().value, "it");
        client.put("after", "it").await.unwrap();
    });
}

/// Starts on the directory, which must end the process; returns the line with the reason.
fn end(data_dir: &Path, flags: &[&str]) -> String {
    let arguments = own_place(data_dir, "http://127.0.0.1:0");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut child = run_binary(&[&arguments, flags].concat(), &[]);
    let code = child.wait().code();
    let lines = child.lines();
    assert_eq!(code, Some(1), "{lines:#?}");
    let reason = lines.iter().find(|line| line.starts_with("conclave: "));
    reason.unwrap_or_else(|| panic!("{lines:#?}")).clone()
}
