//! What the process tells the service manager that started it.

use std::os::unix::net::UnixDatagram;

use harness::process::{own_place, run_binary};
use harness::wait::DEADLINE;

/// The place of a service manager, and what it is told.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Manager {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Manager { socket, dir }
    }

    /// Starts a member with these flags added.
    fn start(&self, flags: &[&str]) -> harness::child::Child {
        let place = own_place(&self.dir.path().join("data"), "http://127.0.0.1:0");
        let arguments: Vec<&str> = place.iter().map(String::as_str).collect();
        let socket = self.dir.path().join("notify");
        let environment = [("NOTIFY_SOCKET", socket.to_str().unwrap())];
        run_binary(&[&arguments, flags].concat(), &environment)
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The first message with such a line.
    fn hears_of(&self, line: &str) -> String {
        std::iter::repeat_with(|| self.hears())
            .find(|message| message.lines().any(|said| said == line))
            .unwrap()
    }
}

#[test]
fn a_member_says_when_it_is_ready_and_when_it_stops() {
    let manager = Manager::new();
    let mut child = manager.start(&[]);
    manager.hears_of("READY=1");
    assert!(child.line("ready to serve client requests").is_some());
    child.terminate();
    manager.hears_of("STOPPING=1");
    assert!(child.wait().success());
}

/// It must not be ended because the others are late.
#[test]
fn a_member_that_waits_for_others_asks_for_time() {
    let manager = Manager::new();
    let child =
        manager.start(&["--initial-cluster=default=http://127.0.0.1:2380,b=http://b.invalid:1"]);
    let first = manager.hears();
    assert!(first.contains("EXTEND_TIMEOUT_USEC=60000000"), "{first}");
    assert!(first.contains("STATUS=waiting for a leader"), "{first}");
    child.terminate();
    let next = manager.hears();
    assert!(next.contains("STOPPING=1"), "{next}");
}
