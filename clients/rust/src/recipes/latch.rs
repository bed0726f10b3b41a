//! K9: a latch that counts down.

use bytes::Bytes;

use super::cas::{change, number};
use super::key_state::wait_until;
use crate::Error;
use crate::client::Client;
use crate::txn;

/// A latch: whoever waits goes on when it was counted down to zero.
///
/// ```
/// # use conclave_client::{Client, Error};
/// # async fn example(client: Client) -> Result<(), Error> {
/// use conclave_client::recipes::Latch;
///
/// let latch = Latch::new(&client, "migrated");
/// latch.create(1).await?;
/// assert_eq!(latch.count_down().await?, 0);
/// latch.wait().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Latch {
    client: Client,
    name: Bytes,
}

impl Latch {
    /// The latch of this name.
    pub fn new(client: &Client, name: impl Into<Bytes>) -> Self {
        Self {
            client: client.clone(),
            name: name.into(),
        }
    }

    /// Creates the latch with a count. Returns false if it exists.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the count is negative.
    pub async fn create(&self, count: i64) -> Result<bool, Error> {
        if count < 0 {
            return Err(Error::Invalid(format!("a latch cannot count from {count}")));
        }
        let put = txn::put(self.name.clone(), count.to_string());
        let request = txn::when([txn::absent(self.name.clone())], [put]);
        Ok(self.client.txn(request).await?.succeeded)
    }

    /// Counts down by one, not below zero. Returns the count that is left.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the latch does not exist.
    pub async fn count_down(&self) -> Result<i64, Error> {
        let mut left = 0;
        change(&self.client, &self.name, |present| {
            let present = present.ok_or_else(|| self.missing())?;
            let count = number(present)?;
            left = (count - 1).max(0);
            Ok((count > 0).then(|| left.to_string().into()))
        })
        .await?;
        Ok(left)
    }

    /// Returns when the count is zero. Waits for a latch that does not exist yet, too.
    pub async fn wait(&self) -> Result<(), Error> {
        wait_until(&self.client, &self.name, |kv| {
            Ok(kv.map(number).transpose()? == Some(0))
        })
        .await
    }

    fn missing(&self) -> Error {
        let name = self.name.escape_ascii();
        Error::Invalid(format!("there is no latch {name}: create it first"))
    }
}
