//! Admission control: bounds the number and bytes of commands between the mailbox and the reply.
//!
//! A command is counted when it is encoded, and until its [`Permit`] is dropped, which happens when
//! its slot is answered or dropped. A caller that stops waiting frees nothing: its command is still
//! in flight.
//!
//! When there is no room for ordinary work, a small reserve is left for what keeps leases right
//! ([`Priority`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use conclave_storage::RequestId;

use crate::limits;

/// Decides if work is admitted when there is no room for ordinary work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// It is refused.
    Ordinary,
    /// It has a reserve. For revocations, expiries and keep-alives of leases: were they refused, a
    /// flood of writes would keep locks from ending, and end those of clients that are alive.
    Lease,
}

/// Counts the admitted commands and their bytes.
#[derive(Debug)]
pub(crate) struct Admission {
    commands: AtomicUsize,
    bytes: AtomicUsize,
    next_request_id: AtomicU64,
    raising_alarm: AtomicBool,
}

/// The admission of one command, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    bytes: usize,
}

/// The exclusive right to raise the alarm.
#[derive(Debug)]
pub(crate) struct AlarmTurn<'a>(&'a AtomicBool);

impl Admission {
    /// Creates the count. Request ids begin at `first_request_id`; the caller must choose it so
    /// that two starts of a member do not repeat ids.
    pub(crate) fn new(first_request_id: RequestId) -> Arc<Admission> {
        Arc::new(Admission {
            commands: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            next_request_id: AtomicU64::new(first_request_id.0),
            raising_alarm: AtomicBool::new(false),
        })
    }

    /// Admits a command of `bytes` bytes, if there is room. Near the bound two concurrent callers
    /// may both be refused where one would have fitted; the bound itself holds.
    pub(crate) fn admit(self: &Arc<Self>, bytes: usize, priority: Priority) -> Option<Permit> {
        let commands = self.commands.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // From here on, dropping the permit undoes both additions.
        let permit = Permit {
            admission: Arc::clone(self),
            bytes,
        };
        let (mut commands_max, mut bytes_max) =
            (limits::IN_FLIGHT_COMMANDS_MAX, limits::IN_FLIGHT_BYTES_MAX);
        if priority == Priority::Lease {
            commands_max += limits::IN_FLIGHT_COMMANDS_RESERVED;
            bytes_max += limits::IN_FLIGHT_BYTES_RESERVED;
        }
        (commands <= commands_max && total <= bytes_max).then_some(permit)
    }

    pub(crate) fn next_request_id(&self) -> RequestId {
        RequestId(self.next_request_id.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn commands(&self) -> usize {
        self.commands.load(Ordering::Relaxed)
    }

    /// Takes the right to raise the alarm. `None` while another caller has it.
    pub(crate) fn alarm_turn(&self) -> Option<AlarmTurn<'_>> {
        (!self.raising_alarm.swap(true, Ordering::Relaxed))
            .then_some(AlarmTurn(&self.raising_alarm))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.commands.fetch_sub(1, Ordering::Relaxed);
        self.admission
            .bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for AlarmTurn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_commands_is_bounded_and_given_back() {
        let admission = Admission::new(RequestId(0));
        let permits: Vec<_> = (0..limits::IN_FLIGHT_COMMANDS_MAX)
            .map(|_| admission.admit(1, Priority::Ordinary).expect("fits"))
            .collect();
        assert!(admission.admit(1, Priority::Ordinary).is_none());
        drop(permits);
        assert_eq!(admission.commands(), 0);
        assert!(admission.admit(1, Priority::Ordinary).is_some());
    }

    #[test]
    fn revocations_have_a_bounded_reserve() {
        let admission = Admission::new(RequestId(0));
        let _full: Vec<_> = (0..limits::IN_FLIGHT_COMMANDS_MAX)
            .map(|_| admission.admit(1, Priority::Ordinary).expect("fits"))
            .collect();
        let revocations: Vec<_> = (0..limits::IN_FLIGHT_COMMANDS_RESERVED)
            .map(|_| admission.admit(1, Priority::Lease).expect("reserved"))
            .collect();
        assert!(admission.admit(1, Priority::Lease).is_none());
        assert!(admission.admit(1, Priority::Ordinary).is_none());
        drop(revocations);
        let revocation = admission.admit(limits::IN_FLIGHT_BYTES_MAX, Priority::Lease);
        assert!(revocation.is_some(), "the reserve is in bytes, too");
    }

    #[test]
    fn the_bytes_are_bounded() {
        let admission = Admission::new(RequestId(0));
        let most = admission.admit(limits::IN_FLIGHT_BYTES_MAX, Priority::Ordinary);
        let _most = most.expect("fits");
        assert!(admission.admit(1, Priority::Ordinary).is_none());
        assert_eq!(admission.commands(), 1);
    }

    #[test]
    fn one_raises_the_alarm_at_a_time() {
        let admission = Admission::new(RequestId(0));
        let turn = admission.alarm_turn().expect("free");
        assert!(admission.alarm_turn().is_none());
        drop(turn);
        assert!(admission.alarm_turn().is_some());
    }
}
