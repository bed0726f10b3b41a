//! The effect of a call on the store, which decides whether the call may be sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The effect of a call. As an extension of a request it overrides what the method's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Changes nothing: sent to the next endpoint whenever an answer fails to come (R2).
    Read,
    /// Changes the store: sent again only if it was provably not executed (R3).
    Write,
    /// Changes the store in the same way however often it is executed, and however late (R8), so it
    /// is repeated like a read. Its error still says that it may have happened.
    Repeatable,
}

impl Effect {
    pub(crate) fn may_repeat(self) -> bool {
        self != Self::Write
    }
}

/// A request extension that records whether the call may have been executed. A caller that stops
/// waiting for the answer reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent(Arc<AtomicBool>);

impl Sent {
    pub(crate) fn set(&self, sent: bool) {
        self.0.store(sent, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request extension that records whether an earlier attempt of an answered call may still be
/// executed: it was sent, and it is not known what became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unsettled(Arc<AtomicBool>);

impl Unsettled {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The form in which a method is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One message each way, with a deadline.
    Unary(Effect),
    /// Streams, and calls in which the server waits for other clients. They have no deadline.
    Long,
}

/// The shape of a method of the API by its path.
pub(crate) fn shape(path: &str) -> Shape {
    match path {
        "/etcdserverpb.KV/Range"
        | "/etcdserverpb.Lease/LeaseTimeToLive"
        | "/etcdserverpb.Lease/LeaseLeases"
        | "/etcdserverpb.Cluster/MemberList"
        | "/etcdserverpb.Maintenance/Status"
        | "/etcdserverpb.Maintenance/HashKV"
        | "/grpc.health.v1.Health/Check" => Shape::Unary(Effect::Read),
        // A second token is as good as the first.
        "/etcdserverpb.Auth/Authenticate" => Shape::Unary(Effect::Repeatable),
        "/etcdserverpb.Watch/Watch"
        | "/etcdserverpb.Lease/LeaseKeepAlive"
        | "/etcdserverpb.KV/RangeStream"
        | "/etcdserverpb.Maintenance/Snapshot"
        | "/etcdserverpb.Maintenance/Defragment"
        | "/v3lockpb.Lock/Lock"
        | "/v3electionpb.Election/Campaign"
        | "/v3electionpb.Election/Observe" => Shape::Long,
        _ => Shape::Unary(Effect::Write),
    }
}
