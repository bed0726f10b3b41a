//! Reading and writing keys.

use bytes::Bytes;
use tonic::Request;

use crate::Error;
use crate::api::kv_client::KvClient;
use crate::api::request_op::Request as Op;
use crate::api::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use crate::client::Client;
use crate::effect::{Effect, Unsettled};
use crate::keys::Keys;
use crate::transport::Transport;

type Kv = KvClient<Transport>;

impl Client {
    /// Sets a key.
    ///
    /// # Errors
    /// [`Error::Maybe`] if the answer was lost, as with all writes here.
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
        not_empty(&request.key)?;
        let send = async |mut kv: Kv, request| kv.put(request).await;
        self.call(self.kv(), request, Effect::Write, send).await
    }

    /// Returns the key (linearizable), or `None` if it does not exist.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<KeyValue>, Error> {
        let mut response = self.range(Keys::one(key)).await?;
        Ok(response.kvs.pop())
    }

    /// Returns the keys in `keys`, in order (linearizable).
    pub async fn range(&self, keys: impl Into<Keys>) -> Result<RangeResponse, Error> {
        self.range_with(keys.into().into_range()).await
    }

    /// Returns a range, with every option of the API: limit, revision, order, filters,
    /// serializable.
    pub async fn range_with(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        not_empty(&request.key)?;
        let send = async |mut kv: Kv, request| kv.range(request).await;
        self.call(self.kv(), request, Effect::Read, send).await
    }

    /// Deletes the keys in `keys`; the response has their number.
    pub async fn delete(&self, keys: impl Into<Keys>) -> Result<DeleteRangeResponse, Error> {
        let Keys {
            key,
            end: range_end,
        } = keys.into();
        not_empty(&key)?;
        let request = DeleteRangeRequest {
            key,
            range_end,
            prev_kv: false,
        };
        let send = async |mut kv: Kv, request| kv.delete_range(request).await;
        self.call(self.kv(), request, Effect::Write, send).await
    }

    /// Runs a transaction: evaluates the comparisons, then runs one of two lists of operations, all
    /// at one revision. One that only reads is sent again like a read.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        let effect = match only_reads(&request) {
            true => Effect::Read,
            false => Effect::Write,
        };
        self.txn_as(request, effect).await
    }

    /// Runs a transaction with this effect.
    pub(crate) async fn txn_as(
        &self,
        request: TxnRequest,
        effect: Effect,
    ) -> Result<TxnResponse, Error> {
        self.txn_noting(request, effect, &Unsettled::default())
            .await
    }

    /// [`Client::txn_as`], which sets `unsettled` if an attempt without an answer may be executed
    /// after the one that was answered.
    pub(crate) async fn txn_noting(
        &self,
        request: TxnRequest,
        effect: Effect,
        unsettled: &Unsettled,
    ) -> Result<TxnResponse, Error> {
        let operations = request.success.iter().chain(&request.failure);
        operations.filter_map(key).try_for_each(not_empty)?;
        let send = async |mut kv: Kv, mut request: Request<TxnRequest>| {
            request.extensions_mut().insert(unsettled.clone());
            kv.txn(request).await
        };
        let outcome = self.call(self.kv(), request, effect, send).await;
        if outcome.as_ref().is_err_and(Error::may_have_happened) {
            unsettled.set();
        }
        outcome
    }

    /// Compacts the history before `revision`. With `physical`, returns when its space has been
    /// freed.
    pub async fn compact(&self, revision: i64, physical: bool) -> Result<(), Error> {
        let request = CompactionRequest { revision, physical };
        let send = async |mut kv: Kv, request| kv.compact(request).await;
        self.call(self.kv(), request, Effect::Write, send).await?;
        Ok(())
    }
}

fn not_empty(key: &[u8]) -> Result<(), Error> {
    match key.is_empty() {
        true => Err(Error::Invalid("the key is empty".into())),
        false => Ok(()),
    }
}

/// The key of an operation.
fn key(op: &RequestOp) -> Option<&[u8]> {
    match op.request.as_ref()? {
        Op::RequestRange(range) => Some(&range.key),
        Op::RequestPut(put) => Some(&put.key),
        Op::RequestDeleteRange(delete) => Some(&delete.key),
        Op::RequestTxn(_) => None,
    }
}

/// True if no branch of a transaction writes.
fn only_reads(request: &TxnRequest) -> bool {
    let reads = |op: &RequestOp| match &op.request {
        Some(Op::RequestRange(_)) => true,
        Some(Op::RequestTxn(inner)) => only_reads(inner),
        Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) | None => false,
    };
    request.success.iter().all(reads) && request.failure.iter().all(reads)
}
