//! What a target is, and which there are.

use crate::api::{Messages, Requests};
use crate::connections::Connections;
use crate::entries::Entries;
use crate::peers::Peers;
use crate::raft::Raft;
use crate::snapshots::Snapshots;

/// Something that is given inputs, and panics when one of them shows a fault.
///
/// A target may keep what it needs between inputs: starting a member for each would leave time for
/// little else.
pub trait Target {
    /// One input.
    fn run(&mut self, input: &[u8]);

    /// What is checked of all inputs so far together; called at the end of a run, too.
    fn check(&mut self) {}
}

/// A target by name.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// As in `make fuzz TARGET=...`, and the name of its folders of seeds and corpora.
    pub name: &'static str,
    /// Makes it ready for its first input.
    pub open: fn() -> Box<dyn Target>,
    /// Inputs that the short run makes of the kept ones: some five seconds of them.
    pub made: usize,
    /// Bytes of an input that is made.
    pub bytes_max: usize,
}

/// Every target.
pub const TARGETS: &[Named] = &[
    Named {
        name: "messages",
        open: || Box::new(Messages::open()),
        made: 1_000,
        bytes_max: 4_096,
    },
    Named {
        name: "requests",
        open: || Box::new(Requests::open()),
        made: 300,
        bytes_max: 1_024,
    },
    Named {
        name: "connections",
        open: || Box::new(Connections::open()),
        made: 1_000,
        bytes_max: 2_048,
    },
    Named {
        name: "peers",
        open: || Box::new(Peers::open()),
        made: 1_000,
        bytes_max: 1_024,
    },
    Named {
        name: "raft",
        open: || Box::new(Raft),
        made: 2_000,
        bytes_max: 2_048,
    },
    Named {
        name: "entries",
        open: || Box::new(Entries),
        made: 1_500,
        bytes_max: 2_048,
    },
    Named {
        name: "snapshots",
        open: || Box::new(Snapshots::open()),
        made: 30,
        bytes_max: 256,
    },
];

/// The target of this name.
pub fn named(name: &str) -> Option<Named> {
    TARGETS.iter().find(|target| target.name == name).copied()
}
