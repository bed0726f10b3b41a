//! Admission control: bounds the number and bytes of commands between the mailbox and the reply.
//!
//! A command is counted when it is encoded, and until its [`Permit`] is dropped, which happens when
//! its slot is answered or dropped. A caller that stops waiting frees nothing: its command is still
//! in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use conclave_storage::RequestId;

use crate::limits;

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
    pub(crate) fn admit(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let commands = self.commands.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // From here on, dropping the permit undoes both additions.
        let permit = Permit {
            admission: Arc::clone(self),
            bytes,
        };
        let fits =
            commands <= limits::IN_FLIGHT_COMMANDS_MAX && total <= limits::IN_FLIGHT_BYTES_MAX;
        fits.then_some(permit)
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
            .map(|_| admission.admit(1).expect("fits"))
            .collect();
        assert!(admission.admit(1).is_none());
        drop(permits);
        assert_eq!(admission.commands(), 0);
        assert!(admission.admit(1).is_some());
    }

    #[test]
    fn the_bytes_are_bounded() {
        let admission = Admission::new(RequestId(0));
        let _most = admission.admit(limits::IN_FLIGHT_BYTES_MAX).expect("fits");
        assert!(admission.admit(1).is_none());
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
