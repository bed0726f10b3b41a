//! Random requests: few keys, so that requests conflict; small revisions, so that some are
//! compacted and some in the future; occasionally an invalid request.

use bytes::Bytes;
use conclave_proto::etcdserverpb as pb;
use harness::api::{self, OPEN, op};
use pb::compare::TargetUnion;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// One request to send to both servers.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    DeleteRange(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    LeaseGrant(pb::LeaseGrantRequest),
    LeaseRevoke(pb::LeaseRevokeRequest),
    LeaseTimeToLive(pb::LeaseTimeToLiveRequest),
    LeaseLeases,
}

const KEYS: &[&[u8]] = &[
    b"a",
    b"a\0",
    b"a\0\0",
    b"ab",
    b"b",
    b"c",
    b"d",
    b"d/1",
    b"d/2",
    b"e",
    b"\x7f",
    b"\xff\xff",
];
const ENDS: &[&[u8]] = &[
    b"a",
    b"a\0",
    b"b",
    b"c",
    b"d",
    b"d0",
    b"e",
    b"\xff",
    b"\xff\xff\xff",
];
const VALUES: &[&[u8]] = &[b"", b"1", b"2", b"10", b"\0", b"\xff", b"a longer value"];
const LEASES_MAX: i64 = 5;
const TXN_OPS_MAX: usize = 4;
const TXN_DEPTH_MAX: usize = 2;

/// A generator of requests; deterministic for a seed.
pub(crate) struct Generator {
    random: StdRng,
    /// The approximate revision of the servers.
    pub(crate) revision: i64,
    /// True if the nested txns of the current request put, false if they delete; see `differences`
    /// for the reason that they do not do both.
    nested_put: bool,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            revision: 1,
            nested_put: true,
        }
    }

    pub(crate) fn step(&mut self) -> Step {
        match self.random.random_range(0..100) {
            0..25 => Step::Put(self.put()),
            25..45 => Step::Range(self.range()),
            45..55 => Step::DeleteRange(self.delete(true)),
            55..80 => Step::Txn(self.txn(0)),
            80..83 => Step::Compact(self.compaction()),
            83..88 => Step::LeaseGrant(self.grant()),
            88..91 => Step::LeaseRevoke(pb::LeaseRevokeRequest { id: self.lease() }),
            91..97 => {
                let (id, keys) = (self.lease(), self.random.random());
                Step::LeaseTimeToLive(pb::LeaseTimeToLiveRequest { id, keys })
            }
            _ => Step::LeaseLeases,
        }
    }

    /// A watch of past revisions, after `above`, with random options.
    pub(crate) fn watch(&mut self, above: i64) -> pb::WatchCreateRequest {
        let range_end = match self.random.random_range(0..3) {
            0 => Bytes::new(),
            1 => Bytes::from_static(OPEN),
            _ => Bytes::from_static(b"\xff\xff\xff"),
        };
        let filters = match self.random.random_range(0..4) {
            0 => vec![0],
            1 => vec![1],
            _ => vec![],
        };
        pb::WatchCreateRequest {
            key: self.key(),
            range_end,
            start_revision: self
                .random
                .random_range(above + 1..=self.revision.max(above + 1)),
            filters,
            prev_kv: self.random.random(),
            ..Default::default()
        }
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.random.random_ratio(1, count)
    }

    fn key(&mut self) -> Bytes {
        Bytes::from_static(KEYS.choose(&mut self.random).expect("not empty"))
    }

    fn key_or_none(&mut self) -> Bytes {
        if self.one_in(40) {
            Bytes::new()
        } else {
            self.key()
        }
    }

    fn end(&mut self, may_be_open: bool) -> Bytes {
        match self.random.random_range(0..10) {
            0..5 => Bytes::new(),
            5 | 6 if may_be_open => Bytes::from_static(OPEN),
            _ => Bytes::from_static(ENDS.choose(&mut self.random).expect("not empty")),
        }
    }

    fn value(&mut self) -> Bytes {
        Bytes::from_static(VALUES.choose(&mut self.random).expect("not empty"))
    }

    fn lease(&mut self) -> i64 {
        self.random.random_range(0..=LEASES_MAX)
    }

    fn some_revision(&mut self) -> i64 {
        match self.random.random_range(0..10) {
            0 => self.random.random_range(-2..=1),
            1 => self.revision + self.random.random_range(0..3),
            _ => self
                .random
                .random_range((self.revision - 30).max(0)..=self.revision),
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        let mut request = api::put(self.key_or_none(), self.value());
        request.prev_kv = self.one_in(3);
        if self.one_in(4) {
            request.lease = self.lease();
        }
        if self.one_in(10) {
            request.ignore_value = true;
            if !self.one_in(4) {
                request.value = Bytes::new();
            }
        }
        if self.one_in(10) {
            request.ignore_lease = true;
            if !self.one_in(4) {
                request.lease = 0;
            }
        }
        request
    }

    fn delete(&mut self, may_be_open: bool) -> pb::DeleteRangeRequest {
        let mut request = api::delete_range(self.key_or_none(), self.end(may_be_open));
        request.prev_kv = self.one_in(3);
        request
    }

    fn range(&mut self) -> pb::RangeRequest {
        let key = if self.one_in(8) {
            Bytes::from_static(OPEN)
        } else {
            self.key_or_none()
        };
        let mut request = api::range(key, self.end(true));
        request.serializable = self.random.random();
        request.keys_only = self.one_in(5);
        request.count_only = self.one_in(8);
        if self.one_in(3) {
            request.limit = self.random.random_range(-1..6);
        }
        if self.one_in(3) {
            request.revision = self.some_revision();
        }
        if self.one_in(4) {
            request.sort_target = self.random.random_range(0..5);
            let orders = if request.limit > 0 { 1..3 } else { 0..3 };
            request.sort_order = self.random.random_range(orders);
        }
        for filter in [
            &mut request.min_mod_revision,
            &mut request.max_mod_revision,
            &mut request.min_create_revision,
            &mut request.max_create_revision,
        ] {
            if self.random.random_ratio(1, 12) {
                *filter = self.random.random_range(0..=self.revision + 1);
            }
        }
        request
    }

    fn txn(&mut self, depth: usize) -> pb::TxnRequest {
        if depth == 0 {
            self.nested_put = self.random.random();
        }
        let compares = self.random.random_range(0..3);
        let success = self.random.random_range(0..=TXN_OPS_MAX);
        let failure = self.random.random_range(0..=TXN_OPS_MAX);
        pb::TxnRequest {
            compare: (0..compares).map(|_| self.compare()).collect(),
            success: (0..success).map(|_| self.operation(depth)).collect(),
            failure: (0..failure).map(|_| self.operation(depth)).collect(),
        }
    }

    fn operation(&mut self, depth: usize) -> pb::RequestOp {
        let may_put = depth == 0 || self.nested_put;
        let may_delete = depth == 0 || !self.nested_put;
        match self.random.random_range(0..100) {
            0..40 if may_put => op(self.put()),
            40..55 if may_delete => op(self.delete(false)),
            55..75 if depth < TXN_DEPTH_MAX => op(self.txn(depth + 1)),
            99 => pb::RequestOp { request: None },
            _ => op(self.range()),
        }
    }

    fn compare(&mut self) -> pb::Compare {
        let near = self.some_revision();
        let operand = match self.random.random_range(0..5) {
            0 => TargetUnion::Version(self.random.random_range(0..3)),
            1 => TargetUnion::CreateRevision(if self.random.random() { 0 } else { near }),
            2 => TargetUnion::ModRevision(near),
            3 => TargetUnion::Value(self.value()),
            _ => TargetUnion::Lease(self.lease()),
        };
        let mut compare = api::compare(
            self.key_or_none(),
            pb::compare::CompareResult::Equal,
            operand,
        );
        // Values above 3 are undefined: etcd refuses none of them.
        let results = if self.one_in(20) { 6 } else { 4 };
        compare.result = self.random.random_range(0..results);
        if self.one_in(4) {
            compare.range_end = self.end(true);
        }
        if self.one_in(20) {
            compare.target_union = None;
        }
        if self.one_in(20) {
            compare.target = self.random.random_range(0..7);
        }
        compare
    }

    fn compaction(&mut self) -> pb::CompactionRequest {
        let revision = match self.random.random_range(0..4) {
            0 => self.some_revision(),
            _ => self.revision - self.random.random_range(10..40),
        };
        pb::CompactionRequest {
            revision,
            physical: self.random.random(),
        }
    }

    fn grant(&mut self) -> pb::LeaseGrantRequest {
        let ttl = if self.one_in(10) {
            9_000_000_001
        } else {
            1_000
        };
        pb::LeaseGrantRequest {
            ttl,
            id: self.random.random_range(1..=LEASES_MAX),
        }
    }
}
