//! K12: a shared value.

use bytes::Bytes;

use super::persist::persist;
use crate::Error;
use crate::api::KeyValue;
use crate::client::Client;
use crate::txn;
use crate::watch::Watch;

/// A value that many share, with the revision of its last change.
///
/// ```
/// # use conclave_client::{Client, Error};
/// # async fn example(client: Client) -> Result<(), Error> {
/// use conclave_client::recipes::Value;
///
/// let color = Value::new(&client, "color");
/// let revision = color.set("green").await?;
/// assert!(color.compare_and_set(revision, "blue").await?.is_some());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Value {
    client: Client,
    name: Bytes,
}

/// A value at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// The revision of its last change, for [`Value::compare_and_set`].
    pub revision: i64,
}

impl From<KeyValue> for Versioned {
    fn from(kv: KeyValue) -> Self {
        Self {
            value: kv.value,
            revision: kv.mod_revision,
        }
    }
}

impl Value {
    /// The value of this name.
    pub fn new(client: &Client, name: impl Into<Bytes>) -> Self {
        Self {
            client: client.clone(),
            name: name.into(),
        }
    }

    /// Returns the value, if there is one.
    pub async fn get(&self) -> Result<Option<Versioned>, Error> {
        Ok(self.client.get(self.name.clone()).await?.map(From::from))
    }

    /// Sets the value. Returns the revision.
    pub async fn set(&self, value: impl Into<Bytes>) -> Result<i64, Error> {
        let response = self.client.put(self.name.clone(), value).await?;
        Ok(response.header.map_or(0, |header| header.revision))
    }

    /// Sets the value if it was last changed at `revision`; with 0, if there is none. Returns the
    /// new revision, or `None` if someone else was first.
    pub async fn compare_and_set(
        &self,
        revision: i64,
        value: impl Into<Bytes>,
    ) -> Result<Option<i64>, Error> {
        let guard = txn::unchanged(self.name.clone(), revision);
        let put = txn::put(self.name.clone(), value);
        let response = self.client.txn(txn::when([guard], [put])).await?;
        Ok(response.succeeded.then(|| txn::revision(&response)))
    }

    /// Listens to the value: the present one first, then every change.
    pub fn listen(&self) -> Listener {
        Listener {
            value: self.clone(),
            watch: None,
            ready: Vec::new(),
        }
    }
}

/// The values, one after another.
#[derive(Debug)]
pub struct Listener {
    value: Value,
    watch: Option<Watch>,
    /// In reverse.
    ready: Vec<Option<Versioned>>,
}

impl Listener {
    /// Returns the next value, or `None` when it was deleted. Can be cancelled without losing one.
    pub async fn next(&mut self) -> Result<Option<Versioned>, Error> {
        loop {
            if let Some(ready) = self.ready.pop() {
                return Ok(ready);
            }
            let (client, name) = (&self.value.client, &self.value.name);
            let Some(watch) = &mut self.watch else {
                let read = persist(|| client.range(name.clone()));
                let response = client.until_closing(read).await?;
                let revision = response.header.map_or(0, |header| header.revision);
                let watch = client.watch(name.clone()).from(revision + 1);
                self.watch = Some(watch.not_open());
                return Ok(response.kvs.into_iter().next().map(From::from));
            };
            match watch.next().await {
                Ok(Some(batch)) => {
                    let events = batch.events.into_iter().rev();
                    let values = events.map(|event| match event.r#type() {
                        crate::api::EventType::Put => event.kv.map(From::from),
                        crate::api::EventType::Delete => None,
                    });
                    self.ready.extend(values);
                }
                // The present value is read again.
                Ok(None) | Err(Error::Compacted { .. }) => self.watch = None,
                Err(error) => return Err(error),
            }
        }
    }
}
