//! Put and delete.

use std::sync::Arc;

use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;

use super::{Machine, validate};
use crate::engine::Read;
use crate::ids::LeaseId;
use crate::mvcc::Changes;
use crate::mvcc::query::header;
use crate::mvcc::range::KeyRange;
use crate::mvcc::view::View;
use crate::mvcc::write::Writer;
use crate::reader::ReadError;

impl Machine {
    pub(super) fn put(
        &mut self,
        read: &dyn Read,
        request: &api::PutRequest,
    ) -> Result<api::PutResponse, ReadError> {
        self.alarms.check_growth()?;
        validate::check_put(request)?;
        self.check_lease_of(read, request)?;
        self.check_kept_by(read, request)?;
        self.write(read, |writer| put(writer, request))
    }

    pub(super) fn delete_range(
        &mut self,
        read: &dyn Read,
        request: &api::DeleteRangeRequest,
    ) -> Result<api::DeleteRangeResponse, ReadError> {
        self.alarms.check_write()?;
        validate::check_delete(request)?;
        self.write(read, |writer| delete_range(writer, request))
    }

    /// Checks that the lease of a put exists.
    pub(super) fn check_lease_of(
        &self,
        read: &dyn Read,
        request: &api::PutRequest,
    ) -> Result<(), ReadError> {
        let lease = LeaseId(request.lease);
        if lease != LeaseId::NONE && !self.pending.has_lease(read, lease)? {
            return Err(ApiError::LeaseNotFound.into());
        }
        Ok(())
    }

    /// Checks that the key exists if a put keeps its value or its lease.
    pub(super) fn check_kept_by(
        &self,
        read: &dyn Read,
        request: &api::PutRequest,
    ) -> Result<(), ReadError> {
        if request.ignore_value || request.ignore_lease {
            let view = self.pending.view(read);
            if view.find(&request.key, self.state.revision)?.is_none() {
                return Err(ApiError::KeyNotFound.into());
            }
        }
        Ok(())
    }

    /// Runs a write transaction. The caller has made all checks before: from here on nothing can be
    /// undone.
    pub(super) fn write<T>(
        &mut self,
        read: &dyn Read,
        body: impl FnOnce(&mut Writer<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut writer = Writer::new(read, &mut self.pending, self.state.revision);
        let result = body(&mut writer);
        assert!(
            !matches!(result, Err(ReadError::Rejected(_))),
            "checked before the first change"
        );
        let (revision, changes, size) = writer.finish();
        self.state.revision = revision;
        self.state.size += size;
        if !changes.is_empty() {
            self.effects
                .changes
                .push(Arc::new(Changes::new(revision, changes)));
        }
        result
    }
}

pub(super) fn put(
    writer: &mut Writer<'_>,
    request: &api::PutRequest,
) -> Result<api::PutResponse, ReadError> {
    let before = writer.put(request)?;
    let prev_kv = before.filter(|_| request.prev_kv);
    Ok(api::PutResponse {
        header: header(writer.revision()),
        prev_kv,
    })
}

pub(super) fn delete_range(
    writer: &mut Writer<'_>,
    request: &api::DeleteRangeRequest,
) -> Result<api::DeleteRangeResponse, ReadError> {
    let deleted = writer.delete_range(&KeyRange::of(&request.key, &request.range_end))?;
    Ok(api::DeleteRangeResponse {
        header: header(writer.revision()),
        deleted: deleted.len() as i64,
        prev_kvs: if request.prev_kv { deleted } else { Vec::new() },
    })
}
