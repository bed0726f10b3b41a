//! Clients in other languages, which send other `:authority` values than clients in Rust.
//!
//! Their programs are in `foreign/`. Their dependencies are fetched once, into a cache; if that is
//! not possible, a test prints that it is skipped and passes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::Process;

/// Builds a program with Go's clientv3 of 2021.
fn clientv3() -> Option<PathBuf> {
    let program = cache().join("clientv3-3.5.0");
    let mut build = Command::new("go");
    build
        .args(["build", "-mod=readonly", "-trimpath", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(sources().join("clientv3"));
    has_done(&mut build).then_some(program)
}

/// Prepares a Python with gRPC.
fn python() -> Option<PathBuf> {
    let environment = cache().join("python");
    let python = environment.join("bin/python3");
    let has_grpc = |python: &Path| {
        let mut import = Command::new(python);
        import.args(["-c", "import grpc"]);
        import.output().is_ok_and(|output| output.status.success())
    };
    if has_grpc(&python) {
        return Some(python);
    }
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(&environment);
    let mut install = Command::new(&python);
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--only-binary=:all:", "--requirement"])
        .arg(sources().join("requirements.txt"));
    (has_done(&mut create) && has_done(&mut install)).then_some(python)
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("process/foreign")
}

/// A directory next to cargo's output, which outlives a test.
fn cache() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a preparation; prints the reason and returns false if it fails.
fn has_done(command: &mut Command) -> bool {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => eprintln!("skipped: {program}: {}", said(&output)),
        Err(error) => eprintln!("skipped: {program}: {error}"),
    }
    false
}

fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a program, which prints at its end that all is done.
fn expect_done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("all done"), "{}", said(&output));
}

#[test]
fn the_authority_of_clientv3_3_5_0_does_not_matter() {
    let Some(clientv3) = clientv3() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", dir.path().join("clients.sock").display());
    let process = Process::start(&[&format!("--listen-client-urls=http://127.0.0.1:0,{socket}")]);
    for endpoint in [
        &socket,
        process.endpoint(),
        process.endpoint().trim_start_matches("http://"),
    ] {
        expect_done(Command::new(&clientv3).arg(endpoint));
    }
}

#[test]
fn the_authority_of_grpcs_c_core_does_not_matter() {
    let Some(python) = python() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", dir.path().join("clients.sock").display());
    let process = Process::start(&[&format!("--listen-client-urls=http://127.0.0.1:0,{socket}")]);
    for target in [&socket, process.endpoint().trim_start_matches("http://")] {
        let program = sources().join("grpcio.py");
        expect_done(Command::new(&python).arg(program).arg(target));
    }
}
