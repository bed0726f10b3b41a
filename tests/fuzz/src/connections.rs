//! Target `connections`: arbitrary bytes on a connection to the client port.
//!
//! The bytes are sent and the sending side is closed; the member must close the other side, and
//! then answer other clients as before.
//!
//! Input: a byte that selects the form of the rest: raw bytes, HTTP/1.1 or HTTP/2
//! ([`crate::frames`]).

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::frames;
use crate::member::{Cluster, Member};
use crate::source::Source;
use crate::target::Target;

/// Number of inputs in a member's life.
const RENEW_AFTER: usize = 4_096;

/// The target.
#[derive(Debug)]
pub struct Connections {
    member: Member,
    inputs: usize,
}

impl Connections {
    /// Starts a member.
    pub fn open() -> Self {
        Self {
            member: Member::start(Cluster::Sole),
            inputs: 0,
        }
    }
}

impl Target for Connections {
    fn run(&mut self, input: &[u8]) {
        let bytes = bytes(&mut Source::new(input));
        let address = self.member.client_address();
        let sent = self.member.block_on(send(&address, &bytes));
        sent.expect("a member that lives takes connections");
        self.member.check_alive();
        self.inputs += 1;
        if self.inputs.is_multiple_of(RENEW_AFTER) {
            self.member.renew();
        }
    }

    fn check(&mut self) {
        self.member.check_replay();
    }
}

/// The bytes to send.
pub fn bytes(source: &mut Source) -> Vec<u8> {
    match source.below(4) {
        0 => source.rest().to_vec(),
        1 => frames::http1(source),
        _ => frames::http2(source),
    }
}

/// Sends bytes and waits for the end of the connection. Returns an error if no process listens.
pub async fn send(address: &str, bytes: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut reading, mut writing) = stream.split();
    let sending = async {
        // The member may close the connection before it has read everything.
        let _ = writing.write_all(bytes).await;
        let _ = writing.shutdown().await;
    };
    let mut answer = Vec::new();
    let answered = async { drop(reading.read_to_end(&mut answer).await) };
    harness::within("the end of a connection", async {
        tokio::join!(sending, answered)
    })
    .await;
    Ok(())
}
