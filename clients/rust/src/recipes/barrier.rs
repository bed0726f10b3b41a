//! K7: a barrier.

use bytes::Bytes;

use super::key_state::wait_until;
use crate::Error;
use crate::client::Client;
use crate::txn;

/// A barrier: whoever waits goes on when it is released. It holds while its key exists, whatever
/// becomes of the process that created it.
///
/// ```
/// # use conclave_client::{Client, Error};
/// # async fn example(client: Client) -> Result<(), Error> {
/// use conclave_client::recipes::Barrier;
///
/// let barrier = Barrier::new(&client, "maintenance");
/// barrier.hold().await?;
/// barrier.release().await?;
/// barrier.wait().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Barrier {
    client: Client,
    name: Bytes,
}

impl Barrier {
    /// The barrier of this name.
    pub fn new(client: &Client, name: impl Into<Bytes>) -> Self {
        Self {
            client: client.clone(),
            name: name.into(),
        }
    }

    /// Makes the barrier hold. One that holds already goes on holding.
    ///
    /// # Errors
    /// [`Error::Maybe`] if the answer was lost: it is not sent again, because the first attempt
    /// could then be executed after a release.
    pub async fn hold(&self) -> Result<(), Error> {
        let put = txn::put(self.name.clone(), "");
        let request = txn::when([txn::absent(self.name.clone())], [put]);
        self.client.txn(request).await?;
        Ok(())
    }

    /// Lets those who wait go on.
    ///
    /// # Errors
    /// As [`Barrier::hold`].
    pub async fn release(&self) -> Result<(), Error> {
        self.client.delete(self.name.clone()).await?;
        Ok(())
    }

    /// Returns when the barrier does not hold.
    pub async fn wait(&self) -> Result<(), Error> {
        wait_until(&self.client, &self.name, |kv| Ok(kv.is_none())).await
    }
}
