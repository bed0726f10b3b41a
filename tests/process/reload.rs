//! SIGHUP: the log level and the certificates are read again, and the process goes on.

use std::fs;
use std::path::Path;

use harness::ServiceManager;
use harness::certificates::{Authority, Validity};
use harness::child::Child;
use harness::process::{READY, binary, own_place};

/// Starts a member without a terminal, also if the tests run in one.
fn start(manager: &ServiceManager, dir: &Path, client_url: &str, flags: &[String]) -> Child {
    let binary = binary().to_str().unwrap().to_owned();
    let mut words = vec![binary];
    words.extend(own_place(&dir.join("data"), client_url));
    words.extend_from_slice(flags);
    let child = Child::spawn("setsid", &words, &manager.environment());
    assert!(child.line(READY).is_some(), "{:#?}", child.lines());
    manager.hears_of("READY=1");
    child
}

#[test]
fn a_hangup_reads_the_log_level_and_the_certificates_again() {
    let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
    let level = dir.path().join("level");
    let authority = Authority::new("the authority");
    let certificate = authority.issue("server", Validity::Good);
    let flags = [
        format!("--log-level-file={}", level.display()),
        format!("--cert-file={}", certificate.cert().display()),
        format!("--key-file={}", certificate.key().display()),
    ];
    let mut child = start(&manager, dir.path(), "https://127.0.0.1:0", &flags);
    assert!(!child.lines().iter().any(|line| line.contains("\"debug\"")));
    fs::write(&level, "debug\n").unwrap();
    child.signal("HUP");
    let changed = child.line("the log level is changed").unwrap();
    assert!(changed.contains("\"log_level\":\"debug\""), "{changed}");
    assert!(
        child
            .line("the certificates for clients were read again")
            .is_some()
    );
    let reloading = manager.hears_of("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hears_of("READY=1");
    child.terminate();
    assert!(child.wait().success());
    // Written when a leader stops that has no successor.
    let debug = |line: &String| line.starts_with("{\"level\":\"debug\"");
    assert!(child.lines().iter().any(debug), "{:#?}", child.lines());
}

#[test]
fn a_level_that_is_none_changes_nothing() {
    let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
    let level = dir.path().join("level");
    fs::write(&level, "warn").unwrap();
    let flags = [format!("--log-level-file={}", level.display())];
    let place = "http://127.0.0.1:0";
    let binary = binary().to_str().unwrap().to_owned();
    let words = [
        &[binary][..],
        &own_place(&dir.path().join("data"), place),
        &flags,
    ]
    .concat();
    let mut child = Child::spawn("setsid", &words, &manager.environment());
    manager.hears_of("READY=1");
    let lines = child.lines();
    assert!(!lines.iter().any(|line| line.contains(READY)), "{lines:#?}");
    fs::write(&level, "loud").unwrap();
    child.signal("HUP");
    let warning = child.line("the log level stays").unwrap();
    assert!(warning.contains("\\\"loud\\\" is no level"), "{warning}");
    // Without the file the level is that of the flag.
    fs::remove_file(&level).unwrap();
    child.signal("HUP");
    assert!(child.line("\"log_level\":\"info\"").is_some());
    child.terminate();
    assert!(child.wait().success());
}
