//! Notifications to the service manager that started the process.

use std::path::Path;

use harness::ServiceManager;
use harness::child::Child;
use harness::process::{own_place, run_binary};

/// Starts a member under the manager, with these additional flags.
fn start(manager: &ServiceManager, dir: &Path, flags: &[&str]) -> Child {
    let place = own_place(dir, "http://127.0.0.1:0");
    let arguments: Vec<&str> = place.iter().map(String::as_str).collect();
    run_binary(&[&arguments, flags].concat(), &manager.environment())
}

#[test]
fn a_member_says_when_it_is_ready_and_when_it_stops() {
    let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
    let mut child = start(&manager, dir.path(), &[]);
    manager.hears_of("READY=1");
    assert!(child.line("ready to serve client requests").is_some());
    child.terminate();
    manager.hears_of("STOPPING=1");
    assert!(child.wait().success());
}

/// The manager must not end a member because the other members are late.
#[test]
fn a_member_that_waits_for_others_asks_for_time() {
    let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
    let others = "--initial-cluster=default=http://127.0.0.1:2380,b=http://b.invalid:1";
    let child = start(&manager, dir.path(), &[others]);
    let first = manager.hears();
    assert!(first.contains("EXTEND_TIMEOUT_USEC=60000000"), "{first}");
    assert!(first.contains("STATUS=waiting for a leader"), "{first}");
    child.terminate();
    let next = manager.hears();
    assert!(next.contains("STOPPING=1"), "{next}");
}
