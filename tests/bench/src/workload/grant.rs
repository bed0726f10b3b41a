//! Lease grants: each client requests one lease after another, with ids chosen by the server.
//!
//! The leases are not revoked: they expire some time after the run.

use conclave_proto::etcdserverpb::{LeaseGrantRequest, LeaseGrantResponse};

use crate::drive::Workload;
use crate::wire::{Failure, Method, Wire};
use crate::workload::path;

/// Grants of leases with this time to live.
pub(crate) struct Grant {
    pub(crate) ttl_seconds: i64,
}

impl Workload for Grant {
    type Client = Method;

    fn name(&self) -> String {
        "lease grant".into()
    }

    async fn open(&self, wire: &Wire, _client: usize) -> Result<Method, Failure> {
        wire.method(path::LEASE_GRANT)
    }

    async fn call(&self, client: &mut Method, _number: u64) -> Result<(), Failure> {
        grant(client, self.ttl_seconds).await.map(drop)
    }
}

/// Grants a lease and returns its id.
pub(super) async fn grant(method: &mut Method, ttl_seconds: i64) -> Result<i64, Failure> {
    let request = LeaseGrantRequest {
        ttl: ttl_seconds,
        id: 0,
    };
    let granted: LeaseGrantResponse = method.call(&request).await?;
    if granted.id == 0 || !granted.error.is_empty() {
        return Err(Failure(format!("lease grant: {}", granted.error)));
    }
    if granted.ttl < ttl_seconds {
        return Err(Failure::new("check: a lease's TTL is below the request's"));
    }
    Ok(granted.id)
}
