//! Leases: that they exist and which keys hang on them. When they end is not known here: their time
//! is the leader's memory, and its end comes as a command.

use bytes::Bytes;
use conclave_proto::command::{LeaseExpire, LeaseRecord};
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;

use super::{LeaseEffect, Machine, validate};
use crate::ids::LeaseId;
use crate::mvcc::range::KeyRange;
use crate::reader::ReadError;

impl Machine {
    pub(super) fn lease_grant(
        &mut self,
        request: &api::LeaseGrantRequest,
    ) -> Result<api::LeaseGrantResponse, ReadError> {
        self.alarms.check_growth()?;
        validate::check_lease_grant(request)?;
        let (id, ttl) = (LeaseId(request.id), request.ttl);
        if self.pending.has_lease(&*self.engine, id)? {
            return Err(ApiError::LeaseExist.into());
        }
        self.pending.add_lease(LeaseRecord {
            id: id.0,
            ttl_seconds: ttl,
        });
        self.effects.leases.push(LeaseEffect::Granted {
            id,
            ttl_seconds: ttl,
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
        request: &api::LeaseRevokeRequest,
    ) -> Result<api::LeaseRevokeResponse, ReadError> {
        self.alarms.check_write()?;
        let id = LeaseId(request.id);
        if !self.pending.has_lease(&*self.engine, id)? {
            return Err(ApiError::LeaseNotFound.into());
        }
        self.revoke(id)?;
        Ok(api::LeaseRevokeResponse {
            header: self.header(),
        })
    }

    /// As many revokes, except that a lease that is gone is not an error: the leader may say it
    /// twice.
    pub(super) fn lease_expire(&mut self, request: &LeaseExpire) -> Result<(), ReadError> {
        self.alarms.check_write()?;
        for &id in &request.ids {
            if self.pending.has_lease(&*self.engine, LeaseId(id))? {
                self.revoke(LeaseId(id))?;
            }
        }
        Ok(())
    }

    /// Ends a lease that exists and deletes its keys, in order and in one revision.
    fn revoke(&mut self, id: LeaseId) -> Result<(), ReadError> {
        let keys: Vec<Bytes> = self.pending.lease_keys(&*self.engine, id)?;
        self.write(|writer| {
            for key in keys {
                writer.delete_range(&KeyRange::Point(key))?;
            }
            Ok(())
        })?;
        self.pending.remove_lease(id);
        self.effects.leases.push(LeaseEffect::Revoked { id });
        Ok(())
    }
}
