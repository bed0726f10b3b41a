//! The driver's mailbox: a bounded queue with two compartments and one reader.
//!
//! *Control* (a persisted append, a durable index, a peer's message, stop) wakes the driver always.
//! *Commands* and *reads* wake it only when it is waiting for them. That is the difference from a
//! channel, and the reason this is not one: while a sync runs, the driver has nothing to do with
//! the commands that arrive, nor with reads while a round of them is under way, and waking it for
//! each would cost a context switch, several times what proposing a command costs. They gather
//! here, and go into the next entry or round together. Once awake, for whatever reason, it takes
//! everything.
//!
//! The commands' compartment needs no bound of its own: a command is let in by
//! [`crate::admission::Admission`], which counts until the reply. Control messages are bounded by
//! what they answer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;

use conclave_proto::ApiError;

use crate::consensus::Node;
use crate::limits;
use crate::peers::{PeerEvent, Taken};
use crate::proposal::{Payload, Proposal};

/// A look at the consensus from elsewhere.
pub(crate) struct Inspect(Box<dyn FnOnce(&Node) + Send>);

impl Inspect {
    pub(crate) fn new(look: impl FnOnce(&Node) + Send + 'static) -> Inspect {
        Inspect(Box::new(look))
    }

    pub(crate) fn at(self, node: &Node) {
        (self.0)(node);
    }
}

impl fmt::Debug for Inspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inspect")
    }
}

/// What a linearizable read waits for: the index that must be applied before it may look.
pub(crate) type ReadSlot = oneshot::Sender<Result<u64, ApiError>>;

/// Where the outcome of a transfer of leadership goes.
pub(crate) type Done = oneshot::Sender<Result<(), ApiError>>;

/// How far the log is dropped, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compaction {
    /// Nobody needs what is at or below this, unless the driver knows of somebody.
    pub(crate) can: u64,
    /// Whoever needs what is at or below this has waited too long.
    pub(crate) must: u64,
}

/// What wakes the driver in any case.
#[derive(Debug)]
pub(crate) enum Control {
    /// The log writer: everything up to this work is on disk.
    Persisted(u64),
    /// The housekeeper: the state is durable up to `applied`, and so much of the log may go.
    Durable {
        applied: u64,
        compaction: Compaction,
    },
    /// The network.
    Peer(PeerEvent),
    /// A snapshot was made, or could not be.
    SnapshotTaken(Taken),
    /// The applier: these are not in the log and never will be; propose them anew. Not at once if
    /// the leader refused them, since then this member is behind in who that is.
    Again {
        proposals: Vec<Proposal>,
        at_once: bool,
    },
    /// Hand leadership to this member, or to whoever is best placed.
    Transfer { to: Option<u64>, done: Done },
    /// Somebody wants to know.
    Inspect(Inspect),
}

/// What the driver takes out at a time.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) control: Vec<Control>,
    pub(crate) commands: VecDeque<Proposal>,
    pub(crate) changes: Vec<Proposal>,
    pub(crate) reads: Vec<ReadSlot>,
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
struct Compartments {
    mail: Mail,
    peer_messages: usize,
    /// What the driver sleeps for; `None` while it is awake, or about to be.
    sleeping: Option<Waiting>,
}

/// What wakes the driver from its sleep, beside what always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Commands and membership changes.
    pub(crate) commands: bool,
    /// Reads.
    pub(crate) reads: bool,
}

impl Waiting {
    /// Nothing else.
    pub(crate) const CONTROL: Waiting = Waiting {
        commands: false,
        reads: false,
    };
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    compartments: Mutex<Compartments>,
    wake: Condvar,
}

impl Mailbox {
    /// Adds a command, or returns it when the mailbox is closed.
    pub(crate) fn propose(&self, proposal: Proposal) -> Result<(), Proposal> {
        let mut inside = self.lock();
        if inside.mail.closed {
            return Err(proposal);
        }
        match proposal.payload {
            Payload::Command(_) => inside.mail.commands.push_back(proposal),
            Payload::Change(_) => inside.mail.changes.push(proposal),
        }
        self.wake_if(&mut inside, |waiting| waiting.commands);
        Ok(())
    }

    /// Adds a read. Refused when closed or when too many wait.
    pub(crate) fn read(&self, slot: ReadSlot) -> Result<(), ApiError> {
        let mut inside = self.lock();
        if inside.mail.closed {
            return Err(ApiError::Stopped);
        }
        if inside.mail.reads.len() >= limits::WAITING_READS_MAX {
            return Err(ApiError::RequestTooManyRequests);
        }
        inside.mail.reads.push(slot);
        self.wake_if(&mut inside, |waiting| waiting.reads);
        Ok(())
    }

    /// Adds a control message. A peer's message is dropped when too many wait, and false returned;
    /// raft repeats it.
    pub(crate) fn control(&self, control: Control) -> bool {
        let mut inside = self.lock();
        if matches!(control, Control::Peer(PeerEvent::Parcel { .. })) {
            if inside.peer_messages >= limits::PEER_MESSAGES_MAX {
                return false;
            }
            inside.peer_messages += 1;
        }
        inside.mail.control.push(control);
        self.wake_if(&mut inside, |_| true);
        true
    }

    /// Nothing goes in any more, and the driver is told to stop.
    pub(crate) fn close(&self) {
        let mut inside = self.lock();
        inside.mail.closed = true;
        self.wake_if(&mut inside, |_| true);
    }

    /// Sleeps until there is something of the kind waited for, or for `at_most`; then takes
    /// everything there is.
    pub(crate) fn take(&self, waiting: Waiting, at_most: Duration) -> Mail {
        let mut inside = self.lock();
        if !inside.has(waiting) && !at_most.is_zero() {
            inside.sleeping = Some(waiting);
            inside = self
                .wake
                .wait_timeout_while(inside, at_most, |inside| inside.sleeping.is_some())
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .0;
            inside.sleeping = None;
        }
        inside.peer_messages = 0;
        let closed = inside.mail.closed;
        let mail = std::mem::take(&mut inside.mail);
        inside.mail.closed = closed;
        Mail { closed, ..mail }
    }

    fn wake_if(&self, inside: &mut Compartments, is_wanted: impl FnOnce(Waiting) -> bool) {
        if inside
            .sleeping
            .take_if(|waiting| is_wanted(*waiting))
            .is_some()
        {
            self.wake.notify_one();
        }
    }

    /// A panic elsewhere cannot leave the queues half changed: every change is one push or take.
    fn lock(&self) -> MutexGuard<'_, Compartments> {
        self.compartments
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Compartments {
    fn has(&self, waiting: Waiting) -> bool {
        let mail = &self.mail;
        mail.closed
            || !mail.control.is_empty()
            || (waiting.commands && !(mail.commands.is_empty() && mail.changes.is_empty()))
            || (waiting.reads && !mail.reads.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use conclave_proto::peer::Parcel;

    use super::*;

    const NO_TIME: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);
    const READS: Waiting = Waiting {
        commands: false,
        reads: true,
    };

    fn parcel() -> Control {
        let parcel = Parcel::default();
        Control::Peer(PeerEvent::Parcel { from: 2, parcel })
    }

    fn read_slot() -> ReadSlot {
        oneshot::channel().0
    }

    #[test]
    fn whoever_is_awake_takes_everything() {
        let mailbox = Mailbox::default();
        mailbox.read(read_slot()).expect("open");
        mailbox.control(Control::Persisted(1));
        let mail = mailbox.take(Waiting::CONTROL, LONG);
        assert_eq!((mail.control.len(), mail.reads.len()), (1, 1));
        mailbox.read(read_slot()).expect("open");
        assert_eq!(mailbox.take(Waiting::CONTROL, NO_TIME).reads.len(), 1);
    }

    #[test]
    fn only_what_is_waited_for_wakes() {
        let mailbox = Mailbox::default();
        let is_asleep = || mailbox.lock().sleeping.is_some();
        mailbox.lock().sleeping = Some(Waiting::CONTROL);
        mailbox.read(read_slot()).expect("open");
        assert!(is_asleep());
        mailbox.control(Control::Persisted(1));
        assert!(!is_asleep());
        mailbox.lock().sleeping = Some(READS);
        let proposal = Proposal::of_another(Bytes::new());
        mailbox.propose(proposal).expect("open");
        assert!(is_asleep());
        mailbox.read(read_slot()).expect("open");
        assert!(!is_asleep());
    }

    #[test]
    fn closing_hands_everything_out_and_lets_nothing_in() {
        let mailbox = Mailbox::default();
        mailbox.read(read_slot()).expect("open");
        mailbox.close();
        let mail = mailbox.take(Waiting::CONTROL, LONG);
        assert!(mail.closed);
        assert_eq!(mail.reads.len(), 1);
        assert_eq!(mailbox.read(read_slot()), Err(ApiError::Stopped));
        assert!(mailbox.take(READS, NO_TIME).closed);
    }

    #[test]
    fn peer_messages_are_dropped_above_the_bound() {
        let mailbox = Mailbox::default();
        for number in 0..limits::PEER_MESSAGES_MAX + 5 {
            let has_room = number < limits::PEER_MESSAGES_MAX;
            assert_eq!(mailbox.control(parcel()), has_room);
        }
        let mail = mailbox.take(READS, NO_TIME);
        assert_eq!(mail.control.len(), limits::PEER_MESSAGES_MAX);
        mailbox.control(parcel());
        assert_eq!(mailbox.take(READS, NO_TIME).control.len(), 1);
    }
}
