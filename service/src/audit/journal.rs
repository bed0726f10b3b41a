//! An audit log in systemd's journal, by its native protocol: one datagram for each line, with the
//! line's fields as fields of the journal, so that `journalctl CONCLAVE_USER=alice` finds them.
//!
//! The protocol is written out here. The crates that speak it are a layer for `tracing`, which
//! sends on the thread that logs and flattens nested fields, a logger for `log`, and bindings to
//! libsystemd; what is needed of it is the loop over the fields below. A line is bounded far below
//! the 200 KiB that a socket takes, so the journal's way for larger ones, a file in memory, is not
//! needed either.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::record::to_json;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Marks the lines of an audit log in the journal: `journalctl MESSAGE_ID=...`.
const MESSAGE_ID: &str = "5a0f9e0c1d7b4c0e8d3f6b2a9c41e7d5";

/// The journal may be busy, and is waited for; but not for ever, since the lines after it wait too.
const SEND_MAX: Duration = Duration::from_secs(1);

/// A connection to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Journal {
    /// Connects to the journal.
    pub(super) fn connect(path: &Path) -> io::Result<Journal> {
        Ok(Journal {
            path: path.to_owned(),
            socket: connected(path)?,
        })
    }

    /// Connects again at the next line, to a journal that listens now.
    pub(super) fn reopen(&mut self) {
        if let Ok(socket) = connected(&self.path) {
            self.socket = socket;
        }
    }

    /// Sends a line with these fields. Connects anew if the journal was started anew.
    pub(super) fn send(
        &mut self,
        fields: &[(&'static str, Value)],
        notable: bool,
    ) -> io::Result<()> {
        let datagram = datagram(fields, notable);
        match self.socket.send(&datagram) {
            Err(error) if is_gone(&error) => {
                self.socket = connected(&self.path)?;
                self.socket.send(&datagram).map(drop)
            }
            sent => sent.map(drop),
        }
    }
}

fn connected(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_MAX))?;
    socket.connect(path)?;
    Ok(socket)
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionRefused | K::ConnectionReset | K::NotConnected | K::NotFound
    )
}

/// One entry of the journal. Its message is the line as a file has it.
fn datagram(fields: &[(&'static str, Value)], notable: bool) -> Vec<u8> {
    let mut datagram = Vec::new();
    let json = to_json(fields);
    add(&mut datagram, "MESSAGE", json.trim_end());
    add(&mut datagram, "MESSAGE_ID", MESSAGE_ID);
    add(&mut datagram, "SYSLOG_IDENTIFIER", "conclave-audit");
    // Warning and information, by syslog's numbers.
    add(&mut datagram, "PRIORITY", if notable { "4" } else { "6" });
    for (name, value) in fields {
        let name = format!("CONCLAVE_{}", name.to_uppercase());
        match value {
            Value::String(text) => add(&mut datagram, &name, text),
            value => add(&mut datagram, &name, &value.to_string()),
        }
    }
    datagram
}

/// Adds a field. A text with a newline has its length before it.
fn add(datagram: &mut Vec<u8>, name: &str, text: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if text.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(text.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(text.as_bytes());
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<(&'static str, Value)> {
        vec![
            ("user", "alice".into()),
            ("keys", serde_json::json!([{"key": "a"}])),
            ("revision", 7.into()),
        ]
    }

    fn received(listening: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let count = listening.recv(&mut bytes).expect("a datagram");
        String::from_utf8(bytes[..count].to_vec()).expect("text")
    }

    #[test]
    fn a_line_is_an_entry_with_its_fields() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("socket");
        assert!(Journal::connect(&path).is_err(), "nothing listens");
        let listening = UnixDatagram::bind(&path).expect("a free path");
        let mut journal = Journal::connect(&path).expect("listens");
        journal.send(&fields(), true).expect("received");
        let expected = format!(
            "MESSAGE={{\"user\":\"alice\",\"keys\":[{{\"key\":\"a\"}}],\"revision\":7}}\n\
             MESSAGE_ID={MESSAGE_ID}\nSYSLOG_IDENTIFIER=conclave-audit\nPRIORITY=4\n\
             CONCLAVE_USER=alice\nCONCLAVE_KEYS=[{{\"key\":\"a\"}}]\nCONCLAVE_REVISION=7\n"
        );
        assert_eq!(received(&listening), expected);
        // The journal is started anew.
        drop(listening);
        std::fs::remove_file(&path).expect("there");
        assert!(journal.send(&fields(), false).is_err(), "nothing listens");
        let listening = UnixDatagram::bind(&path).expect("a free path");
        journal.send(&fields(), false).expect("received");
        assert!(received(&listening).contains("\nPRIORITY=6\n"));
    }

    #[test]
    fn a_newline_does_not_begin_a_field() {
        let mut datagram = Vec::new();
        add(&mut datagram, "A", "b\nC=d");
        assert_eq!(datagram, b"A\n\x05\0\0\0\0\0\0\0b\nC=d\n");
    }
}
