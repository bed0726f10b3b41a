//! `--log-outputs`.

use std::fs;

use harness::Process;
use harness::process::{own_place, run_binary};

const READY: &str = "ready to serve client requests";

#[test]
fn a_file_is_appended_to_beside_other_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("conclave.log");
    fs::write(&file, "what was there\n").unwrap();
    let outputs = format!("--log-outputs={},stderr", file.display());
    let mut process = Process::start(&[&outputs]);
    process.child().terminate();
    assert!(process.child().wait().success());
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "what was there");
    // Both files have the same events, in complete lines.
    let message = |line: &str| -> String {
        let fields: serde_json::Value = serde_json::from_str(line).unwrap();
        fields["msg"].as_str().unwrap().to_owned()
    };
    let in_file: Vec<String> = lines[1..].iter().map(|line| message(line)).collect();
    let beside: Vec<String> = process
        .child()
        .lines()
        .iter()
        .map(|line| message(line))
        .collect();
    assert_eq!(in_file, beside);
    assert!(
        text.contains(READY) && text.contains("\"stopped\""),
        "{text}"
    );
}

#[test]
fn a_file_may_be_the_only_output() {
    let dir = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let file = dir.path().join("conclave.log");
    let mut arguments = own_place(data.path(), "http://127.0.0.1:0");
    arguments.push(format!("--log-outputs={}", file.display()));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut child = run_binary(&arguments, &[]);
    harness::run(async {
        harness::eventually("the member to be ready", || async {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.contains(READY).then_some(())
        })
        .await;
    });
    child.terminate();
    assert!(child.wait().success());
    assert_eq!(child.lines(), Vec::<String>::new());
}

/// As tools do that rotate logs without notifying the process.
#[test]
fn a_file_that_was_cut_is_written_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("conclave.log");
    let outputs = format!("--log-outputs={},stderr", file.display());
    let mut process = Process::start(&[&outputs]);
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(&file)
        .unwrap();
    process.child().terminate();
    assert!(process.child().wait().success());
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with('{') && text.contains("\"stopped\""),
        "{text}"
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nowhere/conclave.log");
    let outputs = format!("--log-outputs={}", file.display());
    let mut child = run_binary(&[&outputs], &[]);
    assert_eq!(child.wait().code(), Some(1));
    let expected = format!("conclave: cannot write the log to {}: ", file.display());
    let lines = child.lines();
    assert!(
        lines.len() == 1 && lines[0].starts_with(&expected),
        "{lines:#?}"
    );
}
