//! Leases and the keys attached to them. The machine does not know when a lease expires: the leader
//! keeps the time in memory and proposes a command when it has run out.
//!
//! The machine only stores the remaining time of a lease at its last *checkpoint*, which the leader
//! writes for its successor. No rule here depends on it.

use bytes::Bytes;
use conclave_proto::command::{LeaseCheckpoint, LeaseExpire, LeaseRecord};
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;

use super::{LeaseEffect, Machine, validate};
use crate::engine::Read;
use crate::ids::LeaseId;
use crate::mvcc::range::KeyRange;
use crate::reader::ReadError;

impl Machine {
    pub(super) fn lease_grant(
        &mut self,
        read: &dyn Read,
        request: &api::LeaseGrantRequest,
    ) -> Result<api::LeaseGrantResponse, ReadError> {
        self.alarms.check_growth()?;
        validate::check_lease_grant(request)?;
        let (id, ttl) = (LeaseId(request.id), request.ttl);
        if self.pending.has_lease(read, id)? {
            return Err(ApiError::LeaseExist.into());
        }
        self.pending.set_lease(LeaseRecord {
            id: id.0,
            ttl_seconds: ttl,
            remaining_seconds: 0,
            granted_index: self.state.index.0,
        });
        self.effects.leases.push(LeaseEffect::Granted {
            id,
            ttl_seconds: ttl,
            granted_index: self.state.index,
        });
        Ok(api::LeaseGrantResponse {
            header: self.header(),
            id: id.0,
            ttl,
            error: String::new(),
        })
    }

    pub(super) fn lease_revoke(
        &mut self,
        read: &dyn Read,
        request: &api::LeaseRevokeRequest,
    ) -> Result<api::LeaseRevokeResponse, ReadError> {
        self.alarms.check_write()?;
        let id = LeaseId(request.id);
        if !self.pending.has_lease(read, id)? {
            return Err(ApiError::LeaseNotFound.into());
        }
        self.revoke(read, id)?;
        Ok(api::LeaseRevokeResponse {
            header: self.header(),
        })
    }

    /// Revokes expired leases. A lease that no longer exists is not an error, because the leader
    /// may propose an expiry twice. A lease that was granted later under the same id is left alone.
    pub(super) fn lease_expire(
        &mut self,
        read: &dyn Read,
        request: &LeaseExpire,
    ) -> Result<(), ReadError> {
        self.alarms.check_write()?;
        for expired in &request.leases {
            let id = LeaseId(expired.id);
            let meant = |lease: &LeaseRecord| {
                expired.granted_index == 0 || expired.granted_index == lease.granted_index
            };
            if self.pending.lease(read, id)?.as_ref().is_some_and(meant) {
                self.revoke(read, id)?;
            }
        }
        Ok(())
    }

    /// Records the remaining time of leases. Leases that no longer exist are skipped. So are leases
    /// that were granted after the leader took the time, because that time belongs to an older
    /// lease with the same id. (A remaining time of 0, which means that the lease was renewed, is
    /// right for every new lease.) No alarm refuses a checkpoint, because it changes nothing that
    /// clients can see.
    pub(super) fn lease_checkpoint(
        &mut self,
        read: &dyn Read,
        request: &LeaseCheckpoint,
    ) -> Result<(), ReadError> {
        for checkpoint in &request.checkpoints {
            let id = LeaseId(checkpoint.id);
            let Some(lease) = self.pending.lease(read, id)? else {
                continue;
            };
            let remaining_seconds = checkpoint.remaining_seconds;
            if remaining_seconds != 0 && lease.granted_index > request.as_of_index {
                continue;
            }
            self.pending.set_lease(LeaseRecord {
                remaining_seconds,
                ..lease
            });
            self.effects.leases.push(LeaseEffect::Checkpointed {
                id,
                remaining_seconds,
            });
        }
        Ok(())
    }

    /// Ends an existing lease and deletes its keys, in order and in one revision.
    fn revoke(&mut self, read: &dyn Read, id: LeaseId) -> Result<(), ReadError> {
        let keys: Vec<Bytes> = self.pending.lease_keys(read, id)?;
        self.write(read, |writer| {
            for key in keys {
                writer.delete_range(&KeyRange::One(key))?;
            }
            Ok(())
        })?;
        self.pending.remove_lease(id);
        self.effects.leases.push(LeaseEffect::Revoked { id });
        Ok(())
    }
}
