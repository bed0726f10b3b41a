//! How likely things are in a run.

use rand::Rng as _;
use rand::rngs::StdRng;

/// How likely things are in this run, of a thousand steps each. Each run has its own mix, so that
/// some have one fault only, and much of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) deliver: u32,
    pub(super) piece: u32,
    pub(super) drive: u32,
    pub(super) write_log: u32,
    pub(super) apply: u32,
    pub(super) keep_house: u32,
    pub(super) notify_watchers: u32,
    pub(super) end_leases: u32,
    pub(super) work: u32,
    pub(super) time: u32,
    pub(super) ask: u32,
    pub(super) change: u32,
    /// Changes of users and roles; 0 in a cluster without users.
    pub(super) administer: u32,
    pub(super) crash: u32,
    pub(super) fail_disk: u32,
    pub(super) damage: u32,
    pub(super) cut: u32,
    pub(super) isolate: u32,
    pub(super) heal: u32,
    pub(super) pause: u32,
    pub(super) start: u32,
}

impl Weights {
    pub(super) fn draw(rng: &mut StdRng, has_users: bool) -> Weights {
        let mut sometimes = |most: u32| match rng.random_range(0..3) {
            0 => 0,
            _ => rng.random_range(1..=most),
        };
        let (crash, cut, pause) = (sometimes(6), sometimes(8), sometimes(6));
        let (fail_disk, isolate, change) = (sometimes(2), sometimes(4), sometimes(8));
        // A member that is lost may be one too many, where others are removed.
        let damage = if change == 0 { sometimes(2) } else { 0 };
        Weights {
            deliver: rng.random_range(200..500),
            piece: rng.random_range(30..120),
            drive: rng.random_range(150..300),
            write_log: rng.random_range(30..200),
            apply: rng.random_range(30..200),
            keep_house: rng.random_range(1..20),
            notify_watchers: rng.random_range(30..200),
            end_leases: rng.random_range(5..50),
            work: rng.random_range(20..80),
            time: rng.random_range(30..150),
            ask: rng.random_range(10..80),
            change,
            administer: if has_users { 60 } else { 0 },
            crash,
            fail_disk,
            damage,
            cut,
            isolate,
            heal: rng.random_range(0..6),
            pause,
            start: rng.random_range(2..20),
        }
    }
}
