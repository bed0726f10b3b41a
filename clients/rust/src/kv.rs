//! Reading and writing keys.

use bytes::Bytes;

use crate::api::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse,
    RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use crate::{Client, Error, Keys};

impl Client {
    /// Sets a key.
    pub async fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<PutResponse, Error> {
        self.put_with(PutRequest {
            key: key.into(),
            value: value.into(),
            ..Default::default()
        })
        .await
    }

    /// Sets a key, with every option of the API: lease, previous value, keep value or lease.
    pub async fn put_with(&self, request: PutRequest) -> Result<PutResponse, Error> {
        Ok(self.kv().put(request).await?.into_inner())
    }

    /// Returns the key (linearizable), or `None` if it does not exist.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<KeyValue>, Error> {
        let mut response = self.range(Keys::one(key)).await?;
        Ok(response.kvs.pop())
    }

    /// Returns the keys in `keys`, in order (linearizable).
    pub async fn range(&self, keys: impl Into<Keys>) -> Result<RangeResponse, Error> {
        let Keys {
            key,
            end: range_end,
        } = keys.into();
        self.range_with(RangeRequest {
            key,
            range_end,
            ..Default::default()
        })
        .await
    }

    /// Returns a range, with every option of the API: limit, revision, order, filters,
    /// serializable.
    pub async fn range_with(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        Ok(self.kv().range(request).await?.into_inner())
    }

    /// Deletes the keys in `keys`; the response has their number.
    pub async fn delete(&self, keys: impl Into<Keys>) -> Result<DeleteRangeResponse, Error> {
        let Keys {
            key,
            end: range_end,
        } = keys.into();
        let request = DeleteRangeRequest {
            key,
            range_end,
            prev_kv: false,
        };
        Ok(self.kv().delete_range(request).await?.into_inner())
    }

    /// Runs a transaction: evaluates the comparisons, then runs one of two lists of operations, all
    /// at one revision.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        Ok(self.kv().txn(request).await?.into_inner())
    }

    /// Compacts the history before `revision`. With `physical`, returns when its space has been
    /// freed.
    pub async fn compact(&self, revision: i64, physical: bool) -> Result<(), Error> {
        self.kv()
            .compact(CompactionRequest { revision, physical })
            .await?;
        Ok(())
    }
}
