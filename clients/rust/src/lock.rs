//! Mutual exclusion.

use bytes::Bytes;

use crate::api::v3lockpb::{LockRequest, UnlockRequest};
use crate::lease::KeptLease;
use crate::{Client, Error};

impl Client {
    /// Waits until the lock `name` is held under `lease`. Dropping the future gives the place in
    /// the queue up.
    pub async fn lock(&self, name: impl Into<Bytes>, lease: &KeptLease) -> Result<Lock, Error> {
        let request = LockRequest {
            name: name.into(),
            lease: lease.id(),
        };
        let response = self.locks().lock(request).await?.into_inner();
        Ok(Lock {
            client: self.clone(),
            key: response.key,
        })
    }
}

/// A held lock. It is held as long as its key exists, that is, as long as its lease lives; a write
/// that must not happen without the lock compares [`Lock::key`]'s create revision in its
/// transaction.
#[derive(Debug)]
pub struct Lock {
    client: Client,
    key: Bytes,
}

impl Lock {
    /// The key whose existence is the lock.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// Gives the lock to the next in the queue.
    pub async fn unlock(self) -> Result<(), Error> {
        self.client
            .locks()
            .unlock(UnlockRequest {
                key: self.key.clone(),
            })
            .await?;
        Ok(())
    }
}
