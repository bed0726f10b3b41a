//! A service manager as a process sees it: a socket that receives the process's state.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::wait::DEADLINE;

/// The service manager's socket.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    path: PathBuf,
    _dir: TempDir,
}

impl ServiceManager {
    /// Creates the socket; no message has arrived yet.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Self {
            socket,
            path,
            _dir: dir,
        }
    }

    /// The environment the service manager gives to a process.
    pub fn environment(&self) -> [(&str, &str); 1] {
        let path = self.path.to_str().expect("a temporary path is text");
        [("NOTIFY_SOCKET", path)]
    }

    /// Waits for the next message.
    pub fn hears(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    /// Returns the messages that have arrived, without waiting.
    pub fn heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).expect("a socket");
        let mut buffer = [0; 1024];
        let messages = std::iter::from_fn(|| {
            let length = self.socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        });
        let messages = messages.collect();
        self.socket.set_nonblocking(false).expect("a socket");
        messages
    }

    /// Waits for the next message that has this line.
    pub fn hears_of(&self, line: &str) -> String {
        std::iter::repeat_with(|| self.hears())
            .find(|message| message.lines().any(|said| said == line))
            .expect("it hears until then")
    }
}

impl Default for ServiceManager {
    fn default() -> Self {
        Self::new()
    }
}
