//! K16: software transactional memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::Error;
use crate::api::RangeRequest;
use crate::client::Client;
use crate::keys::Keys;
use crate::txn;

/// Reads and writes that take effect together, or not at all. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Transaction {
    client: Client,
    state: Arc<Mutex<State>>,
    /// Locked by the first read, until the revision of all is known.
    first: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// The revision of the first read, at which all others are made.
    revision: i64,
    /// Values that were read, with the mod revision, which is 0 if the key is absent.
    read: BTreeMap<Bytes, (Option<Bytes>, i64)>,
    /// Values to be written; `None` deletes.
    written: BTreeMap<Bytes, Option<Bytes>>,
}

/// Runs `body`, and commits what it has written if what it has read is unchanged; if not, runs it
/// again. So it may run several times, and should do nothing else.
///
/// ```
/// # use conclave_client::{Client, Error};
/// # async fn example(client: Client) -> Result<(), Error> {
/// use conclave_client::recipes::stm;
///
/// stm(&client, async |tx| {
///     let from = tx.get("from").await?.unwrap_or_default();
///     tx.put("to", from);
///     tx.delete("from");
///     Ok(())
/// })
/// .await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Errors of the body, after which nothing is written; [`Error::Maybe`] if the answer to the commit
/// was lost.
pub async fn stm<T, F>(client: &Client, mut body: impl FnMut(Transaction) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        let transaction = Transaction {
            client: client.clone(),
            state: Arc::default(),
            first: Arc::default(),
        };
        let outcome = match body(transaction.clone()).await {
            // The body took so long that the revision of its first read is gone.
            Err(Error::Api(conclave_proto::ApiError::Compacted)) => continue,
            outcome => outcome?,
        };
        if transaction.commit().await? {
            return Ok(outcome);
        }
    }
}

impl Transaction {
    /// Reads a key: what the transaction has written, or what was there when it first read.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>, Error> {
        let key = key.into();
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        // Concurrent reads wait for the first one, or each would be of another revision.
        let first = self.first.lock().await;
        let revision = self.state().revision;
        let _first = (revision == 0).then_some(first);
        let request = RangeRequest {
            revision,
            ..Keys::one(key.clone()).into_range()
        };
        let mut response = self.client.range_with(request).await?;
        let mut state = self.state();
        if state.revision == 0 {
            state.revision = response.header.map_or(0, |header| header.revision);
        }
        let found = response.kvs.pop();
        let revision = found.as_ref().map_or(0, |kv| kv.mod_revision);
        let value = found.map(|kv| kv.value);
        state.read.insert(key, (value.clone(), revision));
        Ok(value)
    }

    /// The value that the transaction has written, or has read before.
    fn known(&self, key: &Bytes) -> Option<Option<Bytes>> {
        let state = self.state();
        let written = state.written.get(key);
        let known = written.or_else(|| state.read.get(key).map(|(value, _)| value));
        known.cloned()
    }

    /// Sets a key when the transaction commits.
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.state().written.insert(key.into(), Some(value.into()));
    }

    /// Deletes a key when the transaction commits.
    pub fn delete(&self, key: impl Into<Bytes>) {
        self.state().written.insert(key.into(), None);
    }

    /// Returns false if what was read has changed.
    async fn commit(&self) -> Result<bool, Error> {
        let (read, written) = {
            let mut state = self.state();
            let state = std::mem::take(&mut *state);
            (state.read, state.written)
        };
        if written.is_empty() {
            // All reads were of one revision.
            return Ok(true);
        }
        let read = read.into_iter();
        let unchanged = read.map(|(key, (_, revision))| txn::unchanged(key, revision));
        let writes = written.into_iter().map(|(key, value)| match value {
            Some(value) => txn::put(key, value),
            None => txn::delete(key),
        });
        let commit = self.client.txn(txn::when(unchanged, writes)).await?;
        Ok(commit.succeeded)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
