//! The driver's mailbox: a bounded queue with two compartments and one reader.
//!
//! *Control* mail (a persisted append, a durable index, a peer's message, stop) always wakes the
//! driver. *Commands* and *reads* wake it only when it is waiting for them. That is the difference
//! from a channel, and the reason for this type. While a sync runs, the driver has nothing to do
//! with arriving commands, nor with reads while a round of reads is in progress. Waking it for each
//! would cost a context switch, several times the cost of proposing a command. They gather here,
//! and go into the next entry or round together. An awake driver takes everything.
//!
//! The commands' compartment needs no bound of its own: [`crate::admission::Admission`] admits each
//! command and counts it until the reply. Control messages are bounded by the work that they
//! answer.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use conclave_proto::ApiError;
use conclave_storage::{Index, MemberId};

use crate::admission::Priority;
use crate::consensus::Node;
use crate::limits;
use crate::outcome::Refused;
use crate::peers::{PeerEvent, Taken};
use crate::proposal::{Payload, Proposal};

/// Runs a closure against the [`Node`] on the driver's thread.
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

/// The reply channel of a linearizable read: it carries the index that must be applied before the
/// read.
pub(crate) type ReadSlot = oneshot::Sender<Result<Index, Refused>>;

/// The reply channel of a leadership transfer.
pub(crate) type Done = oneshot::Sender<Result<(), ApiError>>;

/// How far the log may be dropped, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compaction {
    /// Entries at or below this index may be dropped, unless the driver still needs them for a
    /// member.
    pub(crate) can: Index,
    /// Entries at or below this index must be dropped, even if a member still needs them.
    pub(crate) must: Index,
}

/// Mail that always wakes the driver.
#[derive(Debug)]
pub(crate) enum Control {
    /// From the log writer: everything up to this work is on disk.
    Persisted(u64),
    /// From the housekeeper: the state is durable up to `applied`, and the log may be dropped this
    /// far.
    Durable {
        applied: Index,
        compaction: Compaction,
    },
    /// From the network.
    Peer(PeerEvent),
    /// A snapshot was made, or could not be made.
    SnapshotTaken(Taken),
    /// From the applier: these proposals are not in the log and never will be; propose them again.
    /// Not at once if the leader refused them, because then this member does not yet know the new
    /// leader.
    Again {
        proposals: Vec<Proposal>,
        at_once: bool,
    },
    /// Transfer leadership to this member, or to the best successor if `to` is `None`.
    Transfer { to: Option<MemberId>, done: Done },
    /// Run a closure against the [`Node`].
    Inspect(Inspect),
}

/// Everything the driver takes out at a time.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) control: Vec<Control>,
    pub(crate) commands: VecDeque<Proposal>,
    pub(crate) changes: Vec<Proposal>,
    pub(crate) reads: Vec<ReadSlot>,
    /// Reads for leases, which have a bound of their own.
    pub(crate) lease_reads: Vec<ReadSlot>,
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
struct Compartments {
    mail: Mail,
    peer_messages: usize,
    /// The kinds of mail that end the driver's sleep; `None` while it is awake or about to be.
    sleeping: Option<Waiting>,
}

/// The kinds of mail that wake the driver, besides control mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Commands and membership changes.
    pub(crate) commands: bool,
    /// Linearizable reads.
    pub(crate) reads: bool,
}

impl Waiting {
    /// Only control mail wakes the driver.
    pub(crate) const CONTROL: Waiting = Waiting {
        commands: false,
        reads: false,
    };
}

/// The driver's queue, with one reader.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    compartments: Mutex<Compartments>,
    wake: Condvar,
}

impl Mailbox {
    /// Adds a command, or returns it when the mailbox is closed.
    pub(crate) fn propose(&self, proposal: Proposal) -> Result<(), Proposal> {
        let mut inside = self.compartments.lock();
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

    /// Adds a read. Refuses it when the mailbox is closed or too many reads wait.
    pub(crate) fn read(&self, slot: ReadSlot, priority: Priority) -> Result<(), Refused> {
        let mut inside = self.compartments.lock();
        if inside.mail.closed {
            return Err(Refused(ApiError::Stopped));
        }
        let (reads, reads_max) = match priority {
            Priority::Ordinary => (&mut inside.mail.reads, limits::WAITING_READS_MAX),
            Priority::Lease => (&mut inside.mail.lease_reads, limits::WAITING_READS_RESERVED),
        };
        if reads.len() >= reads_max {
            return Err(Refused(ApiError::RequestTooManyRequests));
        }
        reads.push(slot);
        self.wake_if(&mut inside, |waiting| waiting.reads);
        Ok(())
    }

    /// Adds a control message. Drops a peer's message and returns false when too many wait; raft
    /// repeats it.
    pub(crate) fn control(&self, control: Control) -> bool {
        let mut inside = self.compartments.lock();
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

    /// Closes the mailbox to commands and reads, and wakes the driver to stop.
    pub(crate) fn close(&self) {
        let mut inside = self.compartments.lock();
        inside.mail.closed = true;
        self.wake_if(&mut inside, |_| true);
    }

    /// Sleeps until mail of an awaited kind arrives, or for `at_most`; then takes everything.
    pub(crate) fn take(&self, waiting: Waiting, at_most: Duration) -> Mail {
        let mut inside = self.compartments.lock();
        if !inside.has(waiting) && !at_most.is_zero() {
            inside.sleeping = Some(waiting);
            let is_asleep = |inside: &mut Compartments| inside.sleeping.is_some();
            self.wake.wait_while_for(&mut inside, is_asleep, at_most);
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
}

impl Compartments {
    fn has(&self, waiting: Waiting) -> bool {
        let mail = &self.mail;
        mail.closed
            || !mail.control.is_empty()
            || (waiting.commands && !(mail.commands.is_empty() && mail.changes.is_empty()))
            || (waiting.reads && !(mail.reads.is_empty() && mail.lease_reads.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use conclave_proto::peer::Parcel;

    use super::*;
    use crate::trace::Span;

    const NO_TIME: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);
    const READS: Waiting = Waiting {
        commands: false,
        reads: true,
    };

    fn parcel() -> Control {
        let parcel = Parcel::default();
        Control::Peer(PeerEvent::Parcel {
            from: MemberId(2),
            parcel,
        })
    }

    fn read_slot() -> ReadSlot {
        oneshot::channel().0
    }

    #[test]
    fn whoever_is_awake_takes_everything() {
        let mailbox = Mailbox::default();
        mailbox.read(read_slot(), Priority::Ordinary).expect("open");
        mailbox.control(Control::Persisted(1));
        let mail = mailbox.take(Waiting::CONTROL, LONG);
        assert_eq!((mail.control.len(), mail.reads.len()), (1, 1));
        mailbox.read(read_slot(), Priority::Ordinary).expect("open");
        assert_eq!(mailbox.take(Waiting::CONTROL, NO_TIME).reads.len(), 1);
    }

    #[test]
    fn only_what_is_waited_for_wakes() {
        let mailbox = Mailbox::default();
        let is_asleep = || mailbox.compartments.lock().sleeping.is_some();
        mailbox.compartments.lock().sleeping = Some(Waiting::CONTROL);
        mailbox.read(read_slot(), Priority::Ordinary).expect("open");
        assert!(is_asleep());
        mailbox.control(Control::Persisted(1));
        assert!(!is_asleep());
        mailbox.compartments.lock().sleeping = Some(READS);
        let proposal = Proposal::of_another(Bytes::new(), Span::none());
        mailbox.propose(proposal).expect("open");
        assert!(is_asleep());
        mailbox.read(read_slot(), Priority::Ordinary).expect("open");
        assert!(!is_asleep());
    }

    #[test]
    fn closing_hands_everything_out_and_lets_nothing_in() {
        let mailbox = Mailbox::default();
        mailbox.read(read_slot(), Priority::Ordinary).expect("open");
        mailbox.close();
        let mail = mailbox.take(Waiting::CONTROL, LONG);
        assert!(mail.closed);
        assert_eq!(mail.reads.len(), 1);
        let refused = mailbox.read(read_slot(), Priority::Ordinary);
        assert_eq!(refused, Err(Refused(ApiError::Stopped)));
        assert!(mailbox.take(READS, NO_TIME).closed);
    }

    #[test]
    fn reads_are_refused_above_the_bound_and_keep_alives_later() {
        let mailbox = Mailbox::default();
        for _ in 0..limits::WAITING_READS_MAX {
            mailbox.read(read_slot(), Priority::Ordinary).expect("room");
        }
        let refused = Err(Refused(ApiError::RequestTooManyRequests));
        assert_eq!(mailbox.read(read_slot(), Priority::Ordinary), refused);
        for _ in 0..limits::WAITING_READS_RESERVED {
            mailbox
                .read(read_slot(), Priority::Lease)
                .expect("reserved");
        }
        assert_eq!(mailbox.read(read_slot(), Priority::Lease), refused);
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
