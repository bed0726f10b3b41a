//! Incoming streams of other members; the newest stream of each member is the valid one.
//!
//! A member that lost its connection may be back on a new one before this end has seen the end of
//! the old one. The end of the old connection then says nothing about the member, unless the new
//! stream is from another process: then the member was down for a moment, and the driver is
//! notified of that.

use std::collections::BTreeMap;

use conclave_storage::MemberId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The newest incoming stream of each member.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    newest: BTreeMap<MemberId, Newest>,
    /// Number of streams begun so far, of all members.
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
    /// Its number among all streams so far.
    pub(super) number: u64,
    /// Cancelled when the stream must end.
    pub(super) ending: CancellationToken,
    /// True if it replaces a stream of another process.
    pub(super) restarted: bool,
}

impl Incoming {
    /// Registers a stream opened by a member, and ends the member's previous stream, if there is
    /// one.
    pub(super) fn begin(&self, from: MemberId, boot_id: u64) -> Begun {
        let mut streams = self.streams.lock();
        let former = streams.newest.remove(&from);
        if let Some(former) = &former {
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
        Begun {
            number,
            ending,
            restarted: former.is_some_and(|former| former.boot_id != boot_id),
        }
    }

    /// Removes a stream that has ended. Returns true if it was the newest of its member, which is
    /// now disconnected.
    pub(super) fn finish(&self, from: MemberId, number: u64) -> bool {
        let mut streams = self.streams.lock();
        let is_newest = streams
            .newest
            .get(&from)
            .is_some_and(|newest| newest.number == number && !newest.ending.is_cancelled());
        if is_newest {
            streams.newest.remove(&from);
        }
        is_newest
    }

    /// Ends the stream of a removed member without notifying the driver.
    pub(super) fn end(&self, from: MemberId) {
        if let Some(newest) = self.streams.lock().newest.remove(&from) {
            newest.ending.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: MemberId = MemberId(2);

    #[test]
    fn only_the_end_of_the_newest_stream_tells_of_its_member() {
        let incoming = Incoming::default();
        let first = incoming.begin(OTHER, 70);
        assert!(!first.restarted);
        let second = incoming.begin(OTHER, 70);
        assert!(first.ending.is_cancelled() && !second.restarted);
        assert!(!incoming.finish(OTHER, first.number));
        let third = incoming.begin(OTHER, 71);
        assert!(third.restarted);
        assert!(!incoming.finish(OTHER, second.number));
        assert!(incoming.finish(OTHER, third.number));
        assert!(!incoming.finish(OTHER, third.number));
        let fourth = incoming.begin(OTHER, 71);
        incoming.end(OTHER);
        assert!(fourth.ending.is_cancelled());
        assert!(!incoming.finish(OTHER, fourth.number));
    }
}
