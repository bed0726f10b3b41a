//! Leases by hand. A [`Session`](crate::Session) is a lease that is kept alive.

use crate::Error;
use crate::api::lease_client::LeaseClient;
use crate::api::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use crate::client::Client;
use crate::effect::Effect;
use crate::transport::Transport;

type Leases = LeaseClient<Transport>;

impl Client {
    /// Grants a lease of `ttl_seconds` that nobody keeps alive. The server may grant more.
    pub async fn grant(&self, ttl_seconds: i64) -> Result<LeaseGrantResponse, Error> {
        if ttl_seconds <= 0 {
            return Err(Error::Invalid(format!(
                "a TTL of {ttl_seconds} s is not positive"
            )));
        }
        let request = LeaseGrantRequest {
            ttl: ttl_seconds,
            id: 0,
        };
        let send = async |mut stub: Leases, request| stub.lease_grant(request).await;
        // A second lease is as good as the first, which nobody knows and which expires.
        self.call(self.leases(), request, Effect::Repeatable, send)
            .await
    }

    /// Returns the remaining time of a lease in seconds; `ttl` is -1 if there is no lease with this
    /// id. With `keys`, also returns the keys attached to the lease.
    pub async fn time_to_live(
        &self,
        id: i64,
        keys: bool,
    ) -> Result<LeaseTimeToLiveResponse, Error> {
        let request = LeaseTimeToLiveRequest { id, keys };
        let send = async |mut stub: Leases, request| stub.lease_time_to_live(request).await;
        self.call(self.leases(), request, Effect::Read, send).await
    }

    /// Revokes a lease, which deletes its keys.
    pub async fn revoke(&self, id: i64) -> Result<(), Error> {
        let request = LeaseRevokeRequest { id };
        let send = async |mut stub: Leases, request| stub.lease_revoke(request).await;
        self.call(self.leases(), request, Effect::Write, send)
            .await?;
        Ok(())
    }
}
