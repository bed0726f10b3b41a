//! Leases on the leader: when each ends, renewals, and checkpoints of the time left.
//!
//! [`Leases`] is shared by the applier, which reports grants and revokes in commit order, the
//! driver, which reports promotions, and the handle (keep-alive, time to live). Behind its lock is
//! `Leadership`, pure, with two queues of `Deadlines`. The owner that proposes the end of leases is
//! `crate::expiry`.

mod checkpoints;
mod deadlines;
mod leadership;
mod leases;

pub(crate) use checkpoints::TakingBack;
pub(crate) use deadlines::Deadlines;
pub(crate) use leases::Loaded;
pub use leases::{LeaseError, Leases, Remaining};
