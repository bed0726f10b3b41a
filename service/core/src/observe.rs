//! Reports of the core while it runs, for metrics and traces.
//!
//! The core knows no metrics library. It reports each event to the [`Observer`] it was given, which
//! counts it, under whatever name. The observer also decides which of the core's own actions have
//! spans ([`crate::trace`]), those that no client's request is the cause of.

use std::time::Duration;

use conclave_proto::peer::TraceContext;
use conclave_storage::machine::CommandKind;

use crate::trace::Span;

/// Takes reports. Called by the owners' threads, so it must neither block nor take long.
pub trait Observer: Send + Sync + 'static {
    /// Something has happened.
    fn observe(&self, observation: Observation<'_>);

    /// An action of this member begins. Returns its span.
    fn begin(&self, action: &'static str) -> Span {
        let _ = action;
        Span::none()
    }

    /// This member begins its part of an action that is traced on another member. Returns the
    /// part's span.
    fn resume(&self, action: &'static str, context: &TraceContext) -> Span {
        let _ = (action, context);
        Span::none()
    }
}

/// Something that has happened.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// Log entries were written, by one call for the write and the sync.
    LogWritten {
        /// Bytes of the entries.
        bytes: usize,
        /// Whether the log was synced.
        synced: bool,
        /// Time for both.
        took: Duration,
    },
    /// A batch of entries was applied and written to the state.
    Applied {
        /// Its commands, in order.
        commands: &'a [AppliedCommand],
        /// Time of the write.
        commit_took: Duration,
    },
    /// A batch took long to apply.
    SlowApply,
    /// A request has ended.
    Request {
        /// Its kind.
        kind: RequestKind,
        /// Whether it has an outcome; rejection by rule is one.
        is_decided: bool,
        /// Time from the request to its outcome.
        took: Duration,
    },
    /// A proposal was refused, or its outcome is unknown.
    ProposalFailed,
    /// A linearizable read waited long for its turn.
    SlowRead,
    /// A linearizable read was refused.
    ReadFailed,
    /// A read that looks at the state has begun.
    ReadOpened,
    /// A read that looks at the state has ended.
    ReadClosed,
    /// The space of deleted keys is being reclaimed.
    ReclaimBegun,
    /// The space of deleted keys has been reclaimed, or could not be.
    ReclaimEnded(Duration),
    /// Leases that this leader found expired were ended.
    LeasesExpired(usize),
    /// A heartbeat of this leader left late.
    HeartbeatLate,
    /// A raft message of another member was dropped, because no correct member sends it.
    MessageRefused,
    /// A received snapshot is being put in place.
    InstallBegun,
    /// A received snapshot has been put in place.
    InstallEnded,
}

/// A command that was applied.
#[derive(Clone, Copy, Debug)]
pub struct AppliedCommand {
    /// Its kind.
    pub kind: CommandKind,
    /// Whether it was not rejected.
    pub is_ok: bool,
    /// Its share of the time for the entry it came in.
    pub took: Duration,
}

/// A request whose duration is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A command, from before its proposal to its outcome.
    Command(CommandKind),
    /// A range, with its wait for the state to be new enough.
    Range,
    /// A transaction that only reads, likewise.
    ReadOnlyTxn,
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: Observation<'_>) {}
}
