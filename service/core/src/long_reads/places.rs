//! Places for reads, and room for their replies.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unit in which room is counted, so that a number of 32 bits is enough.
const ROOM_UNIT_BYTES: usize = 4 << 10;

/// The place of a read whose reply may be sent in pieces. It begins as a place for reads, and is
/// exchanged for a place for replies in pieces once the reply is known to be a long one.
pub(super) struct Place {
    permit: OwnedSemaphorePermit,
    /// The places for replies in pieces; `None` once this place is one of them.
    next: Option<Arc<Semaphore>>,
}

impl Place {
    /// A place for a read.
    pub(super) fn of_read(permit: OwnedSemaphorePermit, next: Arc<Semaphore>) -> Place {
        let next = Some(next);
        Place { permit, next }
    }

    /// A place for a reply in pieces.
    pub(super) fn of_pieces(permit: OwnedSemaphorePermit) -> Place {
        Place { permit, next: None }
    }

    /// Gives up the place for a read for one of a reply in pieces. Returns false if there is none.
    pub(super) fn pass_on(&mut self) -> bool {
        let Some(next) = &self.next else {
            return true;
        };
        let Ok(permit) = Arc::clone(next).try_acquire_owned() else {
            return false;
        };
        (self.permit, self.next) = (permit, None);
        true
    }
}

/// Memory that replies may hold together until they are sent.
pub(super) struct Memory {
    units: Arc<Semaphore>,
    units_max: u32,
    uncounted_bytes: usize,
}

impl Memory {
    /// Memory of so many bytes. A reply up to `uncounted_bytes` is not counted.
    pub(super) fn new(bytes_max: usize, uncounted_bytes: usize) -> Memory {
        let units_max = u32::try_from(bytes_max / ROOM_UNIT_BYTES).unwrap_or(u32::MAX);
        Memory {
            units: Arc::new(Semaphore::new(units_max as usize)),
            units_max,
            uncounted_bytes,
        }
    }

    /// Takes room for a reply, if there is some.
    pub(super) fn room(&self, size_bytes: usize) -> Option<Room> {
        if size_bytes <= self.uncounted_bytes {
            return Some(Room { permit: None });
        }
        let units = u32::try_from(size_bytes.div_ceil(ROOM_UNIT_BYTES)).ok()?;
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units).ok()?;
        Some(Room {
            permit: Some(Arc::new(permit)),
        })
    }

    /// Waits for room for a reply. A reply that is larger than the memory waits for all of it.
    pub(super) async fn wait_for_room(&self, size_bytes: usize) -> Room {
        let units = size_bytes.div_ceil(ROOM_UNIT_BYTES);
        let units = u32::try_from(units).map_or(self.units_max, |units| units.min(self.units_max));
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await;
        Room {
            permit: Some(Arc::new(permit.expect("the semaphore is not closed"))),
        }
    }
}

/// Room for one reply, which is given back when the last of its buffers is freed.
#[derive(Debug)]
pub struct Room {
    /// `None` if it is not counted.
    permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl Room {
    /// Returns a buffer of the reply that takes this room, wherever it goes.
    #[must_use]
    pub fn taken_by(&self, buffer: Bytes) -> Bytes {
        match &self.permit {
            Some(permit) => Bytes::from_owner(Counted {
                buffer,
                _permit: Arc::clone(permit),
            }),
            None => buffer,
        }
    }
}

struct Counted {
    buffer: Bytes,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn room_is_given_back_with_the_last_part_of_the_reply() {
        let memory = Memory::new(100 << 10, 16 << 10);
        let room = memory.room(60 << 10).expect("nothing is taken");
        let parts = [room.taken_by(Bytes::from_static(b"ab")), Bytes::new()];
        drop(room);
        assert!(memory.room(60 << 10).is_none());
        assert!(memory.room(40 << 10).is_some());
        let half = parts[0].slice(..1);
        drop(parts);
        assert!(memory.room(60 << 10).is_none());
        drop(half);
        assert!(memory.room(100 << 10).is_some());
        assert!(memory.room(101 << 10).is_none(), "more than there is");
    }

    #[tokio::test]
    async fn who_waits_gets_room_when_it_is_given_back() {
        let memory = Memory::new(100 << 10, 16 << 10);
        let taken = memory.room(60 << 10);
        let waiting = memory.wait_for_room(60 << 10);
        tokio::pin!(waiting);
        let waited = tokio::time::timeout(Duration::ZERO, &mut waiting).await;
        assert!(waited.is_err());
        drop(taken);
        let all = waiting.await;
        assert!(memory.room(60 << 10).is_none());
        drop(all);
        let all = memory.wait_for_room(1 << 20).await;
        assert!(memory.room(17 << 10).is_none());
        drop(all);
    }

    #[test]
    fn a_short_reply_needs_no_room() {
        let memory = Memory::new(0, 16 << 10);
        let room = memory.room(16 << 10).expect("it is not counted");
        assert_eq!(room.taken_by(Bytes::from_static(b"a")), "a");
        assert!(memory.room((16 << 10) + 1).is_none());
    }

    #[test]
    fn a_read_takes_a_place_for_its_reply_only_if_there_is_one() {
        let [reads, replies] = [2, 1].map(|count| Arc::new(Semaphore::new(count)));
        let place = || {
            let permit = Arc::clone(&reads).try_acquire_owned().expect("a place");
            Place::of_read(permit, Arc::clone(&replies))
        };
        let (mut first, mut second) = (place(), place());
        assert!(first.pass_on() && first.pass_on());
        assert_eq!(reads.available_permits(), 1, "the first reads no longer");
        assert!(!second.pass_on());
        drop(first);
        assert!(second.pass_on());
    }
}
