//! The streams other members have opened to us: the newest of each counts.
//!
//! A member that lost its connection may be back on a new one before we have seen the end of the
//! old one. The end of the old one then says nothing about the member, unless its process is
//! another by now: then it was gone for a moment, and that moment is told.
//!
//! A process that comes after another has taken its place is no new life of the member: there are
//! two of them, most likely on copies of one data directory. It is turned away for as long as the
//! later one is there; letting them take turns would let neither work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::lock;

/// Processes of one member that are remembered. Nobody starts more copies than this by mistake.
const REPLACED_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    newest: BTreeMap<u64, Newest>,
    /// The processes of each member that another has taken the place of, the latest last.
    replaced: BTreeMap<u64, VecDeque<u64>>,
    /// Streams begun so far, of all members.
    begun: u64,
}

#[derive(Debug)]
struct Newest {
    number: u64,
    boot_id: u64,
    ending: CancellationToken,
}

/// A stream that has just begun.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its number among all there ever were.
    pub(super) number: u64,
    /// Cancelled when it must end.
    pub(super) ending: CancellationToken,
    /// Whether it took the place of a stream of another process.
    pub(super) restarted: bool,
}

impl Incoming {
    /// A member has opened a stream. Its former one, if it is there, is ended. `None` if another
    /// process has taken the place of this one.
    pub(super) fn begin(&self, from: u64, boot_id: u64) -> Option<Begun> {
        let mut guard = lock(&self.streams);
        let streams = &mut *guard;
        let former = streams.newest.get(&from);
        let former_boot = former.map(|former| former.boot_id);
        let restarted = former_boot.is_some_and(|former| former != boot_id);
        if restarted {
            let replaced = streams.replaced.entry(from).or_default();
            if replaced.contains(&boot_id) {
                return None;
            }
            replaced.extend(former_boot);
            if replaced.len() > REPLACED_MAX {
                replaced.pop_front();
            }
        }
        if let Some(former) = streams.newest.remove(&from) {
            former.ending.cancel();
        }
        streams.begun += 1;
        let number = streams.begun;
        let ending = CancellationToken::new();
        let newest = Newest {
            number,
            boot_id,
            ending: ending.clone(),
        };
        streams.newest.insert(from, newest);
        Some(Begun {
            number,
            ending,
            restarted,
        })
    }

    /// A stream has ended. True if it was the newest of its member, which is thus disconnected.
    pub(super) fn finish(&self, from: u64, number: u64) -> bool {
        let mut streams = lock(&self.streams);
        let is_newest = streams
            .newest
            .get(&from)
            .is_some_and(|newest| newest.number == number && !newest.ending.is_cancelled());
        if is_newest {
            streams.newest.remove(&from);
        }
        is_newest
    }

    /// Ends the stream of a member that does not belong any more, without a word to the driver.
    pub(super) fn end(&self, from: u64) {
        if let Some(newest) = lock(&self.streams).newest.remove(&from) {
            newest.ending.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_newest_stream_tells_of_its_member() {
        let incoming = Incoming::default();
        let first = incoming.begin(2, 70).expect("welcome");
        assert!(!first.restarted);
        let second = incoming.begin(2, 70).expect("welcome");
        assert!(first.ending.is_cancelled() && !second.restarted);
        assert!(!incoming.finish(2, first.number));
        let third = incoming.begin(2, 71).expect("welcome");
        assert!(third.restarted);
        assert!(!incoming.finish(2, second.number));
        assert!(incoming.finish(2, third.number));
        assert!(!incoming.finish(2, third.number));
        let fourth = incoming.begin(2, 71).expect("welcome");
        incoming.end(2);
        assert!(fourth.ending.is_cancelled());
        assert!(!incoming.finish(2, fourth.number));
    }
    #[test]
    fn of_two_processes_the_later_one_stays() {
        let incoming = Incoming::default();
        let original = incoming.begin(2, 70).expect("welcome");
        let copy = incoming.begin(2, 71).expect("it looks like a restart");
        assert!(original.ending.is_cancelled() && copy.restarted);
        assert!(incoming.begin(2, 70).is_none());
        assert!(!copy.ending.is_cancelled());
        // Its own reconnections are fine, and so is a third start.
        let again = incoming.begin(2, 71).expect("welcome");
        let third = incoming.begin(2, 72).expect("welcome");
        assert!(again.ending.is_cancelled() && incoming.begin(2, 71).is_none());
        // When it is gone, the other may go on.
        assert!(incoming.finish(2, third.number));
        assert!(incoming.begin(2, 70).is_some());
    }
}
