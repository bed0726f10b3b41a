//! Locks.

use bytes::Bytes;

use crate::api::v3lockpb::lock_client::LockClient;
use crate::api::v3lockpb::{LockRequest, UnlockRequest};
use crate::lease::KeptLease;
use crate::{Client, Error, Transport};

type Locks = LockClient<Transport>;

impl Client {
    /// Waits until the lock `name` is held under `lease`. Dropping the future leaves the queue.
    pub async fn lock(&self, name: impl Into<Bytes>, lease: &KeptLease) -> Result<Lock, Error> {
        let request = LockRequest {
            name: name.into(),
            lease: lease.id(),
        };
        let send = |mut locks: Locks, request| async move { locks.lock(request).await };
        let response = self.call(self.locks(), request, send).await?.into_inner();
        Ok(Lock {
            client: self.clone(),
            key: response.key,
        })
    }
}

/// A held lock. It is held as long as its key exists, that is, as long as its lease exists. A write
/// that must not happen without the lock compares the create revision of [`Lock::key`] in its
/// transaction.
#[derive(Debug)]
pub struct Lock {
    client: Client,
    key: Bytes,
}

impl Lock {
    /// The key that exists while the lock is held.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// Releases the lock, which passes to the next in the queue.
    pub async fn unlock(self) -> Result<(), Error> {
        let Lock { client, key } = self;
        let send = |mut locks: Locks, request| async move { locks.unlock(request).await };
        client
            .call(client.locks(), UnlockRequest { key }, send)
            .await?;
        Ok(())
    }
}
