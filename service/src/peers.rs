//! The seam to the other members: bytes to a member, and no promise that they arrive.

use std::sync::Arc;

use bytes::Bytes;

use crate::mailbox::{Control, Mailbox};

/// Sends raft's messages. Never blocks and never fails: what cannot be sent is dropped, and raft
/// repeats what matters.
pub trait Peers: Send + Sync + 'static {
    /// Sends one message to a member.
    fn send(&self, to: u64, message: Bytes);
}

/// A member without peers. There is nobody to send to, so nothing is ever given to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn send(&self, to: u64, _message: Bytes) {
        tracing::debug!(to, "a message to a member nobody can reach");
    }
}

/// Where raft's messages from the other members go.
#[derive(Clone, Debug)]
pub struct Inbox {
    mailbox: Arc<Mailbox>,
}

impl Inbox {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Inbox {
        Inbox { mailbox }
    }

    /// A message has come. It is dropped when too many wait.
    pub fn receive(&self, message: Bytes) {
        self.mailbox.control(Control::Step(message));
    }
}
