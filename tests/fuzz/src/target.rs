//! The trait of targets, and the list of them.

use crate::api::{Messages, Requests};
use crate::connections::Connections;
use crate::entries::Entries;
use crate::peers::Peers;
use crate::raft::Raft;
use crate::snapshots::Snapshots;

/// A consumer of inputs that panics when an input shows a fault.
///
/// A target may keep state between inputs: starting a member for each input would leave time for
/// little else.
pub trait Target {
    /// Processes one input.
    fn run(&mut self, input: &[u8]);

    /// Checks the effect of all inputs so far; also called at the end of a run.
    fn check(&mut self) {}
}

/// A target with its name and sizes.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The name in `make fuzz TARGET=...` and of its folders of seeds and corpora.
    pub name: &'static str,
    /// Prepares it for its first input.
    pub open: fn() -> Box<dyn Target>,
    /// Number of mutations in the short run, which take some five seconds.
    pub made: usize,
    /// Limit of a mutation's size in bytes.
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

/// Looks a target up by name.
pub fn named(name: &str) -> Option<Named> {
    TARGETS.iter().find(|target| target.name == name).copied()
}
