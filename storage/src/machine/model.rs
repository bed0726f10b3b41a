//! The simplest correct machine: a whole map of keys for every revision, and every rule written out
//! naively. The property tests compare the real machine with it. It has no engine, no commits and
//! no removal.

use std::collections::BTreeMap;

use bytes::Bytes;
use conclave_proto::command::LeaseExpire;
use conclave_proto::command::command::Body;
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::response_op::Response;
use conclave_proto::mvccpb::KeyValue;

use super::{Change, ChangeKind, Outcome, Rejected, Reply};

type Keys = BTreeMap<Bytes, KeyValue>;

#[derive(Clone)]
pub(super) struct Model {
    /// The keys at each revision; the position is the revision.
    pub(super) states: Vec<Keys>,
    /// The changes of each revision.
    pub(super) changes: Vec<Vec<Change>>,
    pub(super) compacted: i64,
    pub(super) leases: BTreeMap<i64, i64>,
}

/// A write transaction under way.
struct Write {
    keys: Keys,
    revision: i64,
    changes: Vec<Change>,
}

impl Model {
    pub(super) fn new() -> Model {
        let (states, changes) = (vec![Keys::new(); 2], vec![Vec::new(); 2]);
        Model {
            states,
            changes,
            compacted: -1,
            leases: BTreeMap::new(),
        }
    }

    pub(super) fn revision(&self) -> i64 {
        self.states.len() as i64 - 1
    }

    fn now(&self) -> &Keys {
        &self.states[self.states.len() - 1]
    }

    pub(super) fn apply(&mut self, body: &Body) -> Outcome {
        self.dispatch(body).map_err(Rejected)
    }

    fn dispatch(&mut self, body: &Body) -> Result<Reply, ApiError> {
        match body {
            Body::Put(request) => {
                self.check_lease(request)?;
                self.check_kept(request)?;
                Ok(Reply::Put(self.write(|write| write.put(request))))
            }
            Body::DeleteRange(request) => Ok(Reply::DeleteRange(
                self.write(|write| write.delete(request)),
            )),
            Body::Txn(request) => {
                check_duplicates(&request.success)?;
                check_duplicates(&request.failure)?;
                self.check_taken(request)?;
                let before = self.now().clone();
                let mut response = self.write(|write| write.txn(&before, request));
                fill_past(&mut response, request, &self.states);
                response.header = self.header();
                Ok(Reply::Txn(response))
            }
            Body::Compaction(request) => {
                if request.revision <= self.compacted {
                    return Err(ApiError::Compacted);
                }
                if request.revision > self.revision() {
                    return Err(ApiError::FutureRev);
                }
                self.compacted = request.revision;
                Ok(Reply::Compaction(api::CompactionResponse {
                    header: self.header(),
                }))
            }
            Body::LeaseGrant(api::LeaseGrantRequest { id, ttl }) => {
                if self.leases.contains_key(id) {
                    return Err(ApiError::LeaseExist);
                }
                self.leases.insert(*id, *ttl);
                let (header, error) = (self.header(), String::new());
                let response = api::LeaseGrantResponse {
                    header,
                    id: *id,
                    ttl: *ttl,
                    error,
                };
                Ok(Reply::LeaseGrant(response))
            }
            Body::LeaseRevoke(request) => {
                self.revoke(request.id)?;
                Ok(Reply::LeaseRevoke(api::LeaseRevokeResponse {
                    header: self.header(),
                }))
            }
            Body::LeaseExpire(LeaseExpire { leases, .. }) => {
                for lease in leases {
                    let _ = self.revoke(lease.id);
                }
                Ok(Reply::LeaseExpire)
            }
            _ => unreachable!("not generated"),
        }
    }

    fn header(&self) -> Option<api::ResponseHeader> {
        header(self.revision())
    }

    fn revoke(&mut self, id: i64) -> Result<(), ApiError> {
        self.leases.remove(&id).ok_or(ApiError::LeaseNotFound)?;
        let keys = self.lease_keys(id);
        self.write(|write| {
            for key in keys {
                write.delete(&api::DeleteRangeRequest {
                    key,
                    ..Default::default()
                });
            }
        });
        Ok(())
    }

    pub(super) fn lease_keys(&self, id: i64) -> Vec<Bytes> {
        self.now()
            .values()
            .filter(|kv| kv.lease == id)
            .map(|kv| kv.key.clone())
            .collect()
    }

    fn write<T>(&mut self, body: impl FnOnce(&mut Write) -> T) -> T {
        let (keys, revision) = (self.now().clone(), self.revision());
        let mut write = Write {
            keys,
            revision,
            changes: Vec::new(),
        };
        let result = body(&mut write);
        if !write.changes.is_empty() {
            self.states.push(write.keys);
            self.changes.push(write.changes);
        }
        result
    }

    fn check_lease(&self, request: &api::PutRequest) -> Result<(), ApiError> {
        match request.lease == 0 || self.leases.contains_key(&request.lease) {
            true => Ok(()),
            false => Err(ApiError::LeaseNotFound),
        }
    }

    fn check_kept(&self, request: &api::PutRequest) -> Result<(), ApiError> {
        let keeps = request.ignore_value || request.ignore_lease;
        match !keeps || self.now().contains_key(&request.key) {
            true => Ok(()),
            false => Err(ApiError::KeyNotFound),
        }
    }

    fn check_taken(&self, request: &api::TxnRequest) -> Result<(), ApiError> {
        for op in taken(self.now(), request).1 {
            match op.request.as_ref().expect("generated") {
                Request::RequestRange(range) if range.revision > self.revision() => {
                    return Err(ApiError::FutureRev);
                }
                Request::RequestRange(range)
                    if range.revision != 0 && range.revision < self.compacted =>
                {
                    return Err(ApiError::Compacted);
                }
                Request::RequestPut(put) => {
                    self.check_kept(put)?;
                    self.check_lease(put)?;
                }
                Request::RequestTxn(nested) => self.check_taken(nested)?,
                Request::RequestRange(_) | Request::RequestDeleteRange(_) => {}
            }
        }
        Ok(())
    }
}

/// Answers the ranges at a past revision, which the transaction has answered as of now: it cannot
/// change them.
fn fill_past(response: &mut api::TxnResponse, request: &api::TxnRequest, states: &[Keys]) {
    let ops = if response.succeeded {
        &request.success
    } else {
        &request.failure
    };
    for (response, op) in response.responses.iter_mut().zip(ops) {
        match (
            response.response.as_mut().expect("set"),
            op.request.as_ref().expect("generated"),
        ) {
            (Response::ResponseRange(response), Request::RequestRange(range))
                if range.revision > 0 =>
            {
                let header = response.header;
                *response = answer(&states[range.revision as usize], range);
                response.header = header;
            }
            (Response::ResponseTxn(response), Request::RequestTxn(nested)) => {
                fill_past(response, nested, states);
            }
            _ => {}
        }
    }
}

impl Write {
    fn at(&self) -> i64 {
        if self.changes.is_empty() {
            self.revision
        } else {
            self.revision + 1
        }
    }

    fn put(&mut self, request: &api::PutRequest) -> api::PutResponse {
        let prev = self.keys.get(&request.key).cloned();
        let mut kv = KeyValue {
            key: request.key.clone(),
            create_revision: self.revision + 1,
            mod_revision: self.revision + 1,
            version: 1,
            value: request.value.clone(),
            lease: request.lease,
        };
        if let Some(prev) = &prev {
            kv.create_revision = prev.create_revision;
            kv.version = prev.version + 1;
            if request.ignore_value {
                kv.value = prev.value.clone();
            }
            if request.ignore_lease {
                kv.lease = prev.lease;
            }
        }
        self.keys.insert(kv.key.clone(), kv.clone());
        self.changes.push(Change {
            kind: ChangeKind::Put,
            kv,
            prev: prev.clone(),
        });
        api::PutResponse {
            header: header(self.at()),
            prev_kv: prev.filter(|_| request.prev_kv),
        }
    }

    fn delete(&mut self, request: &api::DeleteRangeRequest) -> api::DeleteRangeResponse {
        let keys: Vec<Bytes> = self.keys.keys().cloned().collect();
        let mut prev_kvs = Vec::new();
        for key in keys
            .iter()
            .filter(|key| within(key, &request.key, &request.range_end))
        {
            let prev = self.keys.remove(key).expect("it is there");
            let kv = KeyValue {
                key: key.clone(),
                mod_revision: self.revision + 1,
                ..KeyValue::default()
            };
            self.changes.push(Change {
                kind: ChangeKind::Delete,
                kv,
                prev: Some(prev.clone()),
            });
            prev_kvs.push(prev);
        }
        let deleted = prev_kvs.len() as i64;
        if !request.prev_kv {
            prev_kvs.clear();
        }
        api::DeleteRangeResponse {
            header: header(self.at()),
            deleted,
            prev_kvs,
        }
    }

    fn txn(&mut self, before: &Keys, request: &api::TxnRequest) -> api::TxnResponse {
        let (succeeded, ops) = taken(before, request);
        let mut responses = Vec::new();
        for op in ops {
            let response = match op.request.as_ref().expect("generated") {
                Request::RequestRange(range) => {
                    let mut response = answer(&self.keys, range);
                    response.header = header(self.at());
                    Response::ResponseRange(response)
                }
                Request::RequestPut(put) => Response::ResponsePut(self.put(put)),
                Request::RequestDeleteRange(delete) => {
                    Response::ResponseDeleteRange(self.delete(delete))
                }
                Request::RequestTxn(nested) => Response::ResponseTxn(self.txn(before, nested)),
            };
            responses.push(api::ResponseOp {
                response: Some(response),
            });
        }
        let header = Some(api::ResponseHeader::default());
        api::TxnResponse {
            header,
            succeeded,
            responses,
        }
    }
}

fn header(revision: i64) -> Option<api::ResponseHeader> {
    Some(api::ResponseHeader {
        revision,
        ..Default::default()
    })
}

pub(super) fn within(key: &Bytes, start: &Bytes, end: &Bytes) -> bool {
    if end.is_empty() {
        key == start
    } else {
        key >= start && (end[..] == [0] || key < end)
    }
}

fn taken<'r>(keys: &Keys, request: &'r api::TxnRequest) -> (bool, &'r [api::RequestOp]) {
    let succeeded = request.compare.iter().all(|compare| {
        let all: Vec<_> = keys
            .values()
            .filter(|kv| within(&kv.key, &compare.key, &compare.range_end))
            .collect();
        match (&all[..], compare.target()) {
            ([], CompareTarget::Value) => false,
            ([], _) => holds(&KeyValue::default(), compare),
            (all, _) => all.iter().all(|kv| holds(kv, compare)),
        }
    });
    (
        succeeded,
        if succeeded {
            &request.success
        } else {
            &request.failure
        },
    )
}

fn holds(kv: &KeyValue, compare: &api::Compare) -> bool {
    let order = match compare.target_union.as_ref().expect("generated") {
        TargetUnion::Version(version) => kv.version.cmp(version),
        TargetUnion::CreateRevision(revision) => kv.create_revision.cmp(revision),
        TargetUnion::ModRevision(revision) => kv.mod_revision.cmp(revision),
        TargetUnion::Lease(lease) => kv.lease.cmp(lease),
        TargetUnion::Value(value) => kv.value.cmp(value),
    };
    match compare.result() {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}

/// The keys that a list of operations may put, and those it may delete, as (key, `range_end`).
type Touches = (Vec<Bytes>, Vec<(Bytes, Bytes)>);

fn check_duplicates(ops: &[api::RequestOp]) -> Result<Touches, ApiError> {
    let (mut puts, mut deletes): Touches = Default::default();
    for op in ops {
        let (new_puts, new_deletes): Touches = match op.request.as_ref().expect("generated") {
            Request::RequestRange(_) => Default::default(),
            Request::RequestPut(put) => (vec![put.key.clone()], vec![]),
            Request::RequestDeleteRange(delete) => {
                (vec![], vec![(delete.key.clone(), delete.range_end.clone())])
            }
            Request::RequestTxn(nested) => {
                let mut both = check_duplicates(&nested.success)?;
                let failure = check_duplicates(&nested.failure)?;
                both.0.extend(failure.0);
                both.1.extend(failure.1);
                both
            }
        };
        let hit = |puts: &[Bytes], deletes: &[(Bytes, Bytes)]| {
            puts.iter()
                .any(|key| deletes.iter().any(|(start, end)| within(key, start, end)))
        };
        if new_puts.iter().any(|key| puts.contains(key))
            || hit(&new_puts, &deletes)
            || hit(&puts, &new_deletes)
        {
            return Err(ApiError::DuplicateKey);
        }
        puts.extend(new_puts);
        deletes.extend(new_deletes);
    }
    Ok((puts, deletes))
}

/// A range response without its header.
pub(super) fn answer(keys: &Keys, request: &api::RangeRequest) -> api::RangeResponse {
    let mut kvs: Vec<KeyValue> = keys
        .values()
        .filter(|kv| within(&kv.key, &request.key, &request.range_end))
        .cloned()
        .collect();
    let count = kvs.len() as i64;
    if request.count_only {
        return api::RangeResponse {
            count,
            ..Default::default()
        };
    }
    let above = |number: i64, min: i64| min == 0 || number >= min;
    let below = |number: i64, max: i64| max == 0 || number <= max;
    kvs.retain(|kv| above(kv.mod_revision, request.min_mod_revision));
    kvs.retain(|kv| below(kv.mod_revision, request.max_mod_revision));
    kvs.retain(|kv| above(kv.create_revision, request.min_create_revision));
    kvs.retain(|kv| below(kv.create_revision, request.max_create_revision));
    let descend = request.sort_order() == SortOrder::Descend;
    kvs.sort_by(|a, b| {
        let order = match request.sort_target() {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if descend { order.reverse() } else { order }
    });
    let mut more = false;
    if request.limit > 0 && kvs.len() as i64 > request.limit {
        kvs.truncate(request.limit as usize);
        more = true;
    }
    if request.keys_only {
        for kv in &mut kvs {
            kv.value = Bytes::new();
            if request.sort_target() != SortTarget::Value {
                kv.lease = 0;
            }
        }
    }
    api::RangeResponse {
        header: None,
        kvs,
        more,
        count,
    }
}
