//! A member of one, turn by turn, at a time that stands still.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::{Moment, Sleep};
use crate::driven::Driven;

/// A clock that a test moves.
#[derive(Default)]
struct HandClock {
    millis: AtomicU64,
}

impl HandClock {
    fn advance(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).expect("a short time");
        self.millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        Moment(self.millis.load(Ordering::Relaxed))
    }

    fn wall_ms(&self) -> i64 {
        0
    }

    /// Turns do not wait, and what a test asks for is answered in time.
    fn sleep(&self, _duration: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

struct World {
    clock: Arc<HandClock>,
    driven: Driven,
}

impl World {
    /// A member that has granted lease 7 for ten seconds.
    async fn with_a_lease() -> World {
        let clock = Arc::new(HandClock::default());
        let seams = (Arc::clone(&clock) as _, Arc::new(Unobserved) as _);
        let nobody = |_| Arc::new(NoPeers) as Arc<dyn Peers>;
        let disks = Disks::default();
        let owners = disks.owners(&new_cluster(1, MemberId(1)), settings(), seams, nobody);
        let driven = Driven::new(owners).expect("sound disks");
        let mut world = World { clock, driven };
        let handle = world.driven.handle().clone();
        let granted = tokio::spawn(async move { grant(&handle, 7, 10).await });
        world.settle().await;
        assert_eq!(granted.await.expect("no panic"), (7, 10));
        world
    }

    /// Every owner has turns until nothing is left to do.
    async fn settle(&mut self) {
        let mut is_busy = true;
        while is_busy {
            tokio::task::yield_now().await;
            assert!(self.driven.drive().expect("no fault"));
            is_busy = self.driven.write_log().expect("no fault");
            is_busy |= self.driven.apply().expect("no fault");
            is_busy |= self.driven.notify_watchers();
            is_busy |= self.end_leases();
        }
    }

    fn end_leases(&mut self) -> bool {
        self.driven.end_leases().expect("no fault")
    }

    fn has_the_lease(&self) -> bool {
        let lease = self.driven.handle().reader().lease(LeaseId(7));
        lease.expect("readable").is_some()
    }
}

#[tokio::test]
async fn a_lease_ends_in_the_turns_after_its_deadline() {
    let mut world = World::with_a_lease().await;
    world.clock.advance(Duration::from_secs(9));
    assert!(!world.end_leases(), "it is not due");
    world.clock.advance(Duration::from_secs(2));
    assert!(world.end_leases(), "its end is proposed");
    assert!(!world.end_leases(), "the answer is waited for");
    assert!(world.has_the_lease());
    world.settle().await;
    assert!(!world.has_the_lease());
}

#[tokio::test]
async fn an_end_that_is_not_answered_is_proposed_again() {
    let mut world = World::with_a_lease().await;
    world.clock.advance(Duration::from_secs(11));
    assert!(world.end_leases(), "its end is proposed");
    world
        .clock
        .advance(world.driven.handle().settings().request_timeout);
    assert!(
        !world.end_leases(),
        "the outcome is unknown, and it is not due again yet"
    );
    world.clock.advance(limits::EXPIRE_RETRY);
    assert!(world.end_leases(), "its end is proposed again");
    world.settle().await;
    assert!(!world.has_the_lease());
    world.clock.advance(Duration::from_secs(60));
    assert!(!world.end_leases(), "it is forgotten");
}
