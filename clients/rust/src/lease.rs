//! Leases: keys that are deleted when their owner fails.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use crate::api::lease_client::LeaseClient;
use crate::api::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use crate::{Client, Error, Transport};

type Leases = LeaseClient<Transport>;

/// Number of renewals per TTL: two in a row may be lost.
const RENEWALS_PER_TTL: u32 = 3;
/// Pause before a broken keep-alive stream is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

impl Client {
    /// Grants a lease of at least `ttl_seconds` (the server may raise it), and renews it in the
    /// background until the returned value is dropped or revoked.
    pub async fn grant(&self, ttl_seconds: i64) -> Result<KeptLease, Error> {
        let request = LeaseGrantRequest {
            ttl: ttl_seconds,
            id: 0,
        };
        let send = |mut stub: Leases, request| async move { stub.lease_grant(request).await };
        let granted = self.call(self.leases(), request, send).await?.into_inner();
        let (alive_sender, alive) = watch::channel(true);
        let keeper = tokio::spawn(keep(self.clone(), granted.id, granted.ttl, alive_sender));
        Ok(KeptLease {
            client: self.clone(),
            id: granted.id,
            ttl: granted.ttl,
            alive,
            keeper,
        })
    }

    /// Returns the remaining time of a lease in seconds; `ttl` is -1 if there is no lease with this
    /// id. With `keys`, also returns the keys attached to the lease.
    pub async fn time_to_live(
        &self,
        id: i64,
        keys: bool,
    ) -> Result<LeaseTimeToLiveResponse, Error> {
        let request = LeaseTimeToLiveRequest { id, keys };
        let send =
            |mut stub: Leases, request| async move { stub.lease_time_to_live(request).await };
        Ok(self.call(self.leases(), request, send).await?.into_inner())
    }

    /// Revokes a lease, which deletes its keys.
    pub async fn revoke(&self, id: i64) -> Result<(), Error> {
        let send = |mut stub: Leases, request| async move { stub.lease_revoke(request).await };
        let request = LeaseRevokeRequest { id };
        self.call(self.leases(), request, send).await?;
        Ok(())
    }
}

/// A lease with a task that renews it. When this value is dropped, the renewals stop, so the lease
/// ends one TTL later. [`KeptLease::revoke`] ends it at once.
#[derive(Debug)]
pub struct KeptLease {
    client: Client,
    id: i64,
    ttl: i64,
    alive: watch::Receiver<bool>,
    keeper: JoinHandle<()>,
}

impl KeptLease {
    /// The lease's id, for requests.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The granted time to live, in seconds.
    pub fn ttl_seconds(&self) -> i64 {
        self.ttl
    }

    /// Returns when the lease is lost: the server does not have it any more, or could not be
    /// reached for a whole TTL. The caller must then stop anything that the lease guards.
    pub async fn lost(&self) {
        let mut alive = self.alive.clone();
        // An error means that the renewing task has ended, so the lease is lost as well.
        let _ = alive.wait_for(|alive| !alive).await;
    }

    /// Revokes the lease now, which deletes its keys.
    pub async fn revoke(self) -> Result<(), Error> {
        self.keeper.abort();
        self.client.revoke(self.id).await
    }
}

impl Drop for KeptLease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Renews until the lease is lost. The deadline is the time when the last confirmed renewal was
/// *sent*, plus the TTL. After it the lease may have ended, whatever the network reports.
async fn keep(client: Client, id: i64, ttl: i64, alive: watch::Sender<bool>) {
    let ttl = Duration::from_secs(ttl.max(1).unsigned_abs());
    let mut deadline = Instant::now() + ttl;
    while let Renewals::Broken = renew_on_one_stream(&client, id, ttl, &mut deadline).await {
        tokio::time::sleep_until(deadline.min(Instant::now() + RECONNECT_PAUSE)).await;
        if Instant::now() >= deadline {
            break;
        }
    }
    alive.send_replace(false);
}

enum Renewals {
    /// The stream failed; the lease may still exist.
    Broken,
    /// The server answered that the lease does not exist, or did not answer for a whole TTL.
    Lost,
}

async fn renew_on_one_stream(
    client: &Client,
    id: i64,
    ttl: Duration,
    deadline: &mut Instant,
) -> Renewals {
    let (requests, receiver) = mpsc::channel(1);
    let mut leases = client.leases();
    let mut sent = Instant::now();
    if requests.send(LeaseKeepAliveRequest { id }).await.is_err() {
        return Renewals::Broken;
    }
    let opening = leases.lease_keep_alive(ReceiverStream::new(receiver));
    let opened = match timeout_at(*deadline, opening).await {
        Ok(Ok(opened)) => opened,
        // If the token was refused, the transport has forgotten it.
        Ok(Err(_)) => return Renewals::Broken,
        Err(_) => return Renewals::Lost,
    };
    let (_, mut replies, used) = opened.into_parts();
    loop {
        match timeout_at(*deadline, replies.message()).await {
            Ok(Ok(Some(reply))) if reply.ttl > 0 => *deadline = sent + ttl,
            Ok(Ok(Some(_))) | Err(_) => return Renewals::Lost,
            Ok(Ok(None)) => return Renewals::Broken,
            Ok(Err(status)) => {
                // The next stream has a new token, if it was for the token.
                client.forget_refused(&used, status.message()).await;
                return Renewals::Broken;
            }
        }
        tokio::time::sleep(ttl / RENEWALS_PER_TTL).await;
        sent = Instant::now();
        if requests.send(LeaseKeepAliveRequest { id }).await.is_err() {
            return Renewals::Broken;
        }
    }
}
