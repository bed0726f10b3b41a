//! Compare-and-swap: write a key if it has not changed since it was last read, otherwise read it
//! again.
//!
//! Client `k` works on key `k % key space`. With as many keys as clients each comparison must hold;
//! with fewer, clients conflict, and a failed comparison is a valid answer, counted as a conflict.
//! The revisions prove that no swap was lost: see [`Txn::call`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use conclave_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::response_op::Response;
use conclave_proto::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};

use crate::data::{Keys, Values};
use crate::drive::Workload;
use crate::wire::{Failure, Method, Wire};
use crate::workload::{path, put_once, revision};

/// Compare-and-swap over the keys of `keys`.
pub(crate) struct Txn {
    pub(crate) keys: Keys,
    pub(crate) values: Values,
    pub(crate) conflicts: AtomicU64,
    /// True if every client has its own key.
    pub(crate) exclusive: bool,
}

/// A client, its key and the modification revision it last saw there.
pub(crate) struct Swapper {
    method: Method,
    key: Bytes,
    seen: i64,
    /// True if an unanswered swap may have been done.
    unsure: bool,
}

impl Workload for Txn {
    type Client = Swapper;

    fn name(&self) -> String {
        "txn compare-and-swap".into()
    }

    async fn open(&self, wire: &Wire, client: usize) -> Result<Swapper, Failure> {
        let key = self.keys.key(client as u64 % self.keys.space());
        let mut put = wire.method(path::PUT)?;
        let seen = put_once(&mut put, key.clone(), self.values.value(client as u64)).await?;
        // Of clients that share a key, the last one to open has written it; the first swap of the
        // others is a conflict.
        Ok(Swapper {
            method: wire.method(path::TXN)?,
            key,
            seen,
            unsure: false,
        })
    }

    async fn call(&self, client: &mut Swapper, number: u64) -> Result<(), Failure> {
        let request = swap(&client.key, client.seen, self.values.value(number));
        let unsure = std::mem::replace(&mut client.unsure, true);
        let answer: TxnResponse = client.method.call(&request).await?;
        client.unsure = false;
        let now = revision(answer.header.as_ref())?;
        if answer.succeeded {
            if now <= client.seen {
                return Err(Failure::new("check: a swap did not move the revision"));
            }
            client.seen = now;
            return Ok(());
        }
        self.conflicts.fetch_add(1, Ordering::Relaxed);
        let found = match answer.responses.first().and_then(|op| op.response.as_ref()) {
            Some(Response::ResponseRange(range)) => range.kvs.first(),
            Some(_) | None => None,
        };
        let Some(found) = found else {
            return Err(Failure::new("check: a refused swap did not return the key"));
        };
        if found.mod_revision == client.seen {
            return Err(Failure::new(
                "check: a swap was refused though its comparison holds",
            ));
        }
        client.seen = found.mod_revision;
        if self.exclusive && !unsure {
            return Err(Failure::new(
                "check: another client wrote to a client's own key",
            ));
        }
        Ok(())
    }

    fn extra(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([(
            "conflicts".into(),
            self.conflicts.load(Ordering::Relaxed) as f64,
        )])
    }
}

fn swap(key: &Bytes, seen: i64, value: Bytes) -> TxnRequest {
    let operation = |request| RequestOp {
        request: Some(request),
    };
    let put = PutRequest {
        key: key.clone(),
        value,
        ..Default::default()
    };
    let get = RangeRequest {
        key: key.clone(),
        ..Default::default()
    };
    TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::ModRevision(seen)),
            ..Default::default()
        }],
        success: vec![operation(Request::RequestPut(put))],
        failure: vec![operation(Request::RequestRange(get))],
    }
}
