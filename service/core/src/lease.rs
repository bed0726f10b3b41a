//! Lease deadlines, which only the leader keeps.
//!
//! [`Leases`] is shared by the applier, which reports grants and revokes in commit order, the
//! driver, which reports promotions, and the handle (keep-alive, time to live). The task that
//! expires leases is `crate::expiry`.

mod checkpoints;
pub(crate) mod deadlines;
mod leases;

pub(crate) use checkpoints::TakingBack;
pub(crate) use leases::Loaded;
pub use leases::{LeaseError, Leases, Remaining};
