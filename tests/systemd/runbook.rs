//! The commands in the runbook's section about systemd.

use std::collections::BTreeSet;
use std::fs;

use crate::install::root;

const SECTION: &str = "## Run under systemd";

/// Returns the commands of the section: its indented lines, without `sudo`.
pub(crate) fn commands() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deploy/RUNBOOK.md")).unwrap();
    let (_, section) = text.split_once(SECTION).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let indented = section.lines().filter_map(|line| line.strip_prefix("    "));
    indented
        .map(|line| line.trim().replace("sudo ", ""))
        .collect()
}

/// The tests run every command, except the two that build and install, which are the same `make`
/// that the tests use with other directories.
#[test]
fn every_command_is_run_by_a_test() {
    let sources = concat!(include_str!("member.rs"), include_str!("cluster.rs"));
    let commands = commands();
    assert!(commands.len() > 10, "{commands:#?}");
    let is_run = |command: &String| {
        command.starts_with("make ") || sources.contains(&format!("documented(\"{command}\")"))
    };
    let missing: Vec<_> = commands.iter().filter(|command| !is_run(command)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
