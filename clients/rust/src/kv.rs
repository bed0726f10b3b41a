//! Reading and writing keys.

use bytes::Bytes;

use crate::api::kv_client::KvClient;
use crate::api::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse,
    RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use crate::{Client, Error, Keys, Transport};

type Kv = KvClient<Transport>;

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
        let send = |mut kv: Kv, request| async move { kv.put(request).await };
        Ok(self.call(self.kv(), request, send).await?.into_inner())
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
        let send = |mut kv: Kv, request| async move { kv.range(request).await };
        Ok(self.call(self.kv(), request, send).await?.into_inner())
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
        let send = |mut kv: Kv, request| async move { kv.delete_range(request).await };
        Ok(self.call(self.kv(), request, send).await?.into_inner())
    }

    /// Runs a transaction: evaluates the comparisons, then runs one of two lists of operations, all
    /// at one revision.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        let send = |mut kv: Kv, request| async move { kv.txn(request).await };
        Ok(self.call(self.kv(), request, send).await?.into_inner())
    }

    /// Compacts the history before `revision`. With `physical`, returns when its space has been
    /// freed.
    pub async fn compact(&self, revision: i64, physical: bool) -> Result<(), Error> {
        let request = CompactionRequest { revision, physical };
        let send = |mut kv: Kv, request| async move { kv.compact(request).await };
        self.call(self.kv(), request, send).await?;
        Ok(())
    }
}
