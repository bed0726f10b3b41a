//! The keys of a queue, and the transactions that create, write and delete them.

use bytes::{BufMut as _, Bytes, BytesMut};
use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use conclave_proto::etcdserverpb::request_op::Request as Op;
use conclave_proto::etcdserverpb::response_op::Response as Done;
use conclave_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    RequestOp, ResponseHeader, TxnRequest, TxnResponse,
};
use conclave_proto::mvccpb::KeyValue;
use conclave_storage::{KeyRange, LeaseId};
use tonic::Status;

use super::OWN_LEASE_SECONDS;
use crate::rpc::{Access, status};

/// Returns the prefix of a queue's keys.
pub(in crate::rpc) fn prefix(name: &Bytes) -> Bytes {
    let mut prefix = BytesMut::with_capacity(name.len() + 1);
    prefix.put_slice(name);
    prefix.put_u8(b'/');
    prefix.freeze()
}

/// Returns the key of a contender.
pub(in crate::rpc) fn key(name: &Bytes, lease: LeaseId) -> Bytes {
    let mut key = prefix(name).to_vec();
    key.extend_from_slice(format!("{:x}", lease.0).as_bytes());
    key.into()
}

/// Returns the end of the range of keys with a prefix: the first key after all of them.
pub(in crate::rpc) fn prefix_end(prefix: &Bytes) -> Bytes {
    KeyRange::prefix(prefix.clone()).range_end()
}

/// Grants the lease for a contender without one.
pub(super) async fn grant(access: &Access) -> Result<LeaseId, Status> {
    let request = LeaseGrantRequest {
        ttl: OWN_LEASE_SECONDS,
        id: 0,
    };
    let response = access.propose(request).await?;
    Ok(LeaseId(response.id))
}

/// Revokes a lease that [`grant`] made. If that fails, the lease ends by itself.
pub(super) async fn revoke(access: &Access, lease: LeaseId) {
    let _ = access.propose(LeaseRevokeRequest { id: lease.0 }).await;
}

/// Creates a contender's key, unless it is there already. Returns the header, and the key it found
/// if so.
pub(super) async fn create(
    access: &Access,
    key: &Bytes,
    value: Bytes,
    lease: LeaseId,
) -> Result<(ResponseHeader, Option<KeyValue>), Status> {
    let put = PutRequest {
        key: key.clone(),
        value,
        lease: lease.0,
        ..Default::default()
    };
    let get = RangeRequest {
        key: key.clone(),
        ..Default::default()
    };
    let (put, get) = (
        vec![op(Op::RequestPut(put))],
        vec![op(Op::RequestRange(get))],
    );
    let response = txn(access, created_at(key, 0), put, get).await?;
    let header = response.header.unwrap_or_default();
    if response.succeeded {
        return Ok((header, None));
    }
    // The comparison failed, so the key is there, and the same transaction read it. Without a key
    // this is the reply to another transaction, and the outcome of this one is unknown.
    let found = first_key(response).ok_or_else(|| status::of_api(ApiError::Timeout))?;
    Ok((header, Some(found)))
}

/// Writes the value of a place, if it still is the one created at that revision. Without a lease
/// the key keeps the one it has.
pub(in crate::rpc) async fn write(
    access: &Access,
    key: &Bytes,
    create_revision: i64,
    lease: LeaseId,
    value: Bytes,
) -> Result<TxnResponse, Status> {
    let put = PutRequest {
        key: key.clone(),
        value,
        lease: lease.0,
        ignore_lease: lease == LeaseId::NONE,
        ..Default::default()
    };
    let put = vec![op(Op::RequestPut(put))];
    txn(access, created_at(key, create_revision), put, Vec::new()).await
}

/// Deletes a place, if it still is the one created at that revision.
pub(in crate::rpc) async fn delete(
    access: &Access,
    key: &Bytes,
    create_revision: i64,
) -> Result<TxnResponse, Status> {
    let delete = DeleteRangeRequest {
        key: key.clone(),
        ..Default::default()
    };
    let delete = vec![op(Op::RequestDeleteRange(delete))];
    txn(access, created_at(key, create_revision), delete, Vec::new()).await
}

async fn txn(
    access: &Access,
    compare: Compare,
    success: Vec<RequestOp>,
    failure: Vec<RequestOp>,
) -> Result<TxnResponse, Status> {
    let request = TxnRequest {
        compare: vec![compare],
        success,
        failure,
    };
    access.propose(request).await
}

/// Builds a comparison that holds if the key was created at this revision; at 0, if the key does
/// not exist.
fn created_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

fn op(request: Op) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// Returns the key that the first operation of a transaction read.
fn first_key(response: TxnResponse) -> Option<KeyValue> {
    match response.responses.into_iter().next()?.response? {
        Done::ResponseRange(range) => range.kvs.into_iter().next(),
        Done::ResponsePut(_) | Done::ResponseDeleteRange(_) | Done::ResponseTxn(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_after_its_lease() {
        assert_eq!(key(&"jobs".into(), LeaseId(0x694d8f)), "jobs/694d8f");
        assert_eq!(prefix(&Bytes::new()), "/");
    }

    #[test]
    fn a_prefix_ends_before_the_next_key() {
        assert_eq!(prefix_end(&"a/".into()), "a0");
        assert_eq!(
            prefix_end(&Bytes::from_static(&[1, 0xff])),
            Bytes::from_static(&[2])
        );
        assert_eq!(
            prefix_end(&Bytes::from_static(&[0xff])),
            Bytes::from_static(&[0])
        );
    }
}
