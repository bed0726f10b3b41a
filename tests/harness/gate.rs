//! A forwarder in front of a member, through which one client connects.
//!
//! * **cut**: connections are closed, and new ones as soon as they are made, as when the member's
//!   process is gone.
//! * **held**: bytes in one direction stay in the forwarder while connections stay open, as when
//!   packets are dropped. They are delivered when the gate is healed, as TCP would retransmit them.
//!
//! The [`proxy`](crate::proxy) between members is similar. It has to find out who dials; here a
//! test knows, because each client has gates of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::forward::{Faults, carry};
use crate::proxy::{free_address, give_back};

pub use crate::forward::Way;

/// The faults in effect.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_cut: bool,
    holds_requests: bool,
    holds_answers: bool,
}

impl Faults for State {
    type Ends = ();

    fn cut(&self, (): ()) -> bool {
        self.is_cut
    }

    fn hold(&self, (): (), way: Way) -> bool {
        match way {
            Way::Requests => self.holds_requests,
            Way::Answers => self.holds_answers,
        }
    }
}

/// A running forwarder. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    faults: watch::Sender<State>,
    connections: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl Gate {
    /// Starts a forwarder to an address.
    pub async fn open(target: SocketAddr) -> Self {
        let address = free_address();
        let listener = TcpListener::bind(address).await;
        let listener = listener.expect("the port is reserved for this process");
        let faults = watch::Sender::new(State::default());
        let connections = Arc::new(AtomicUsize::new(0));
        let (receiver, count) = (faults.subscribe(), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((accepted, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(accepted, target, (), receiver.clone()));
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
        self.faults.send_modify(|faults| *faults = State::default());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
        give_back(self.address);
    }
}
