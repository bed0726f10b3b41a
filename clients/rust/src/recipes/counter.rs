//! K11: a counter.

use bytes::Bytes;

use super::cas::{change, number};
use crate::Error;
use crate::client::Client;

/// A signed counter, zero until it is first changed.
///
/// ```
/// # use conclave_client::{Client, Error};
/// # async fn example(client: Client) -> Result<(), Error> {
/// use conclave_client::recipes::Counter;
///
/// let visits = Counter::new(&client, "visits");
/// println!("{}", visits.add(1).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Counter {
    client: Client,
    name: Bytes,
}

impl Counter {
    /// The counter of this name.
    pub fn new(client: &Client, name: impl Into<Bytes>) -> Self {
        Self {
            client: client.clone(),
            name: name.into(),
        }
    }

    /// Adds to the counter, and returns its new value.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the sum does not fit, or if the key has no number; [`Error::Maybe`] if
    /// the answer was lost, and then it was added or not.
    pub async fn add(&self, delta: i64) -> Result<i64, Error> {
        let mut sum = 0;
        change(&self.client, &self.name, |present| {
            let value = present.map_or(Ok(0), number)?;
            let added = value.checked_add(delta);
            sum = added.ok_or_else(|| Error::Invalid(format!("{value} + {delta} overflows")))?;
            Ok(Some(sum.to_string().into()))
        })
        .await?;
        Ok(sum)
    }

    /// Returns the value.
    pub async fn get(&self) -> Result<i64, Error> {
        let present = self.client.get(self.name.clone()).await?;
        present.as_ref().map_or(Ok(0), number)
    }

    /// Sets the counter to `value` if it is `expected`. Returns false if it is not.
    pub async fn compare_and_set(&self, expected: i64, value: i64) -> Result<bool, Error> {
        let mut is_equal = false;
        change(&self.client, &self.name, |present| {
            is_equal = present.map_or(Ok(0), number)? == expected;
            Ok(is_equal.then(|| value.to_string().into()))
        })
        .await?;
        Ok(is_equal)
    }
}
