//! The workloads: each file has one kind of request, how it is made and how its answer is checked.
//! An answer with unexpected content is counted as an error.

pub(crate) mod count;
pub(crate) mod get;
pub(crate) mod grant;
pub(crate) mod keep_alive;
pub(crate) mod login;
pub(crate) mod page;
pub(crate) mod put;
pub(crate) mod range;
pub(crate) mod txn;
pub(crate) mod watch;

use conclave_proto::etcdserverpb::{PutResponse, ResponseHeader};

use crate::wire::{Failure, Method};

/// Paths of the methods used.
pub(crate) mod path {
    pub(crate) const PUT: &str = "/etcdserverpb.KV/Put";
    pub(crate) const RANGE: &str = "/etcdserverpb.KV/Range";
    pub(crate) const TXN: &str = "/etcdserverpb.KV/Txn";
    pub(crate) const WATCH: &str = "/etcdserverpb.Watch/Watch";
    pub(crate) const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
    pub(crate) const STATUS: &str = "/etcdserverpb.Maintenance/Status";
    pub(crate) const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
    pub(crate) const AUTH_ENABLE: &str = "/etcdserverpb.Auth/AuthEnable";
    pub(crate) const USER_ADD: &str = "/etcdserverpb.Auth/UserAdd";
    pub(crate) const USER_GRANT_ROLE: &str = "/etcdserverpb.Auth/UserGrantRole";
    pub(crate) const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
}

/// The revision in an answer's header; every genuine answer has one.
fn revision(header: Option<&ResponseHeader>) -> Result<i64, Failure> {
    match header {
        Some(header) if header.revision > 0 => Ok(header.revision),
        Some(_) | None => Err(Failure::new("check: an answer without a revision")),
    }
}

/// Puts `key` and returns the revision of the write.
async fn put_once(
    method: &mut Method,
    key: bytes::Bytes,
    value: bytes::Bytes,
) -> Result<i64, Failure> {
    let request = conclave_proto::etcdserverpb::PutRequest {
        key,
        value,
        ..Default::default()
    };
    let answer: PutResponse = method.call(&request).await?;
    revision(answer.header.as_ref())
}
