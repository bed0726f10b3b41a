//! A forwarder in front of a member, through which one client connects.
//!
//! * **cut**: connections are closed, and new ones as soon as they are made, as when the member's
//!   process is gone.
//! * **held**: bytes in one direction stay in the forwarder while connections stay open, as when
//!   packets are dropped. They are delivered when the gate is healed, as TCP would retransmit them.
//!
//! The [`proxy`](crate::proxy) between members is similar. It has to find out who dials; here a
//! test knows, because each client has gates of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::proxy::{free_address, give_back};

/// Maximum number of bytes in flight in the forwarder, for each direction of a connection.
const BUFFER_BYTES: usize = 64 << 10;

/// The faults in effect.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    is_cut: bool,
    holds_requests: bool,
    holds_answers: bool,
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the member.
    Requests,
    /// From the member to the client.
    Answers,
}

/// A running forwarder. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    connections: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl Gate {
    /// Starts a forwarder to an address.
    pub async fn open(target: SocketAddr) -> Self {
        let address = free_address();
        let listener = TcpListener::bind(address).await;
        let listener = listener.expect("the port is reserved for this process");
        let faults = watch::Sender::new(Faults::default());
        let connections = Arc::new(AtomicUsize::new(0));
        let (receiver, count) = (faults.subscribe(), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((accepted, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(accepted, target, receiver.clone()));
            }
        });
        Self {
            address,
            faults,
            connections,
            accepting: accepting.abort_handle(),
        }
    }

    /// The address that the client connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of connections that were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes all connections, and new ones.
    pub fn cut(&self) {
        self.faults.send_modify(|faults| faults.is_cut = true);
    }

    /// Holds all bytes in one direction.
    pub fn hold(&self, way: Way) {
        self.faults.send_modify(|faults| match way {
            Way::Requests => faults.holds_requests = true,
            Way::Answers => faults.holds_answers = true,
        });
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.faults
            .send_modify(|faults| *faults = Faults::default());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
        give_back(self.address);
    }
}

/// Forwards one connection until either end or a cut closes it, or the gate is dropped.
async fn carry(dialled: TcpStream, target: SocketAddr, mut faults: watch::Receiver<Faults>) {
    if faults.borrow_and_update().is_cut {
        return;
    }
    let Ok(onward) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (dialled.set_nodelay(true), onward.set_nodelay(true));
    let (client_out, client_in) = dialled.into_split();
    let (member_out, member_in) = onward.into_split();
    let there = pump(client_out, member_in, Way::Requests, faults.clone());
    let back = pump(member_out, client_in, Way::Answers, faults.clone());
    tokio::select! {
        // gRPC uses both directions or none.
        _ = there => {}
        _ = back => {}
        _ = faults.wait_for(|faults| faults.is_cut) => {}
    }
}

/// Moves bytes in one direction, stopping while it is held.
async fn pump(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    way: Way,
    mut faults: watch::Receiver<Faults>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = reader.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let is_free = |faults: &Faults| match way {
            Way::Requests => !faults.holds_requests,
            Way::Answers => !faults.holds_answers,
        };
        let free = faults.wait_for(is_free).await;
        free.map_err(io::Error::other)?;
        writer.write_all(&buffer[..length]).await?;
    }
}
