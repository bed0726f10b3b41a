//! Clients that read everything from the leader, some of which then do not consume the reply.
//!
//! Before the limits on replies, four reads of 300 MB made the leader lose leadership: replies were
//! encoded on the threads that send heartbeats. No client's request may do that, delay other
//! requests, or use unbounded memory.

use conclave_proto::etcdserverpb as pb;
use harness::api::{all, delete_range, everything, get, op, put, range};
use harness::node::connect;
use harness::{Cluster, raw, within};
use pb::kv_client::KvClient;
use pb::range_request::SortOrder;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::{not_on_etcd, on_three};

/// Size of the store: values of 16 KiB, put in transactions of 1 MiB.
const STORE_MIB: usize = 48;
const VALUE_BYTES: usize = 16 << 10;
const KEYS_PER_TXN: usize = (1 << 20) / VALUE_BYTES;

const STALLED: usize = 8;

/// Limit of the leader's peak memory. Its caches and memtables may have some 450 MiB when they are
/// full, and replies 450 MiB more. Each of the 22 replies, if encoded as a whole, would need twice
/// the store's size.
const PEAK_MAX_KIB: u64 = 900 << 10;

#[test]
fn large_reads_leave_the_leader_where_it_is() {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, "it holds every reply in memory") {
            return;
        }
        let leader = cluster.leader().await;
        fill(&cluster, leader).await;
        let term = cluster.status(leader).await.unwrap().raft_term;
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            stalled.push(stalled_range(cluster.endpoint(leader)).await);
        }
        let follower = cluster.others(leader)[0];
        // Other clients are served meanwhile, through every member.
        let mut small = 0;
        let work = async {
            loop {
                for through in [leader, follower] {
                    let value = small.to_string();
                    cluster
                        .try_put(through, "small", value.clone())
                        .await
                        .unwrap();
                    assert_eq!(cluster.get(through, "small").await.unwrap(), Some(value));
                    small += 1;
                }
            }
        };
        tokio::select! {
            () = ask_for_everything(&cluster, leader) => {}
            never = work => never,
        }
        assert!(small > 0, "others were served meanwhile");
        let after = cluster.status(leader).await.unwrap();
        assert_eq!(after.raft_term, term, "an election");
        let peak = peak_kib(&mut cluster, leader);
        assert!(peak < PEAK_MAX_KIB, "the leader took {peak} KiB");
        drop(stalled);
        cluster.expect_same_history().await;
    });
}

async fn fill(cluster: &Cluster, leader: usize) {
    for txn in 0..STORE_MIB {
        let puts = (0..KEYS_PER_TXN).map(|n| {
            // Not compressible, so that the values use as much memory as their size says.
            let mut state = (txn * KEYS_PER_TXN + n) as u64;
            let value = std::iter::repeat_with(|| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            });
            let value: Vec<u8> = value.take(VALUE_BYTES).collect();
            op(put(format!("k{txn:03}/{n:02}"), value))
        });
        cluster.kv(leader).txn(all(puts)).await.unwrap();
    }
}

/// Starts a range over everything, waits for the reply's beginning and does not read on.
async fn stalled_range(endpoint: &str) -> Streaming<bytes::Bytes> {
    let begun = raw::call_unread(connect(endpoint), "/etcdserverpb.KV/Range", everything());
    within("the reply to begin", begun).await.unwrap()
}

/// Requests all kinds of large replies at the same time, reads them to the end and checks them.
async fn ask_for_everything(cluster: &Cluster, leader: usize) {
    let endpoint = cluster.endpoint(leader);
    let expected = STORE_MIB * KEYS_PER_TXN;
    let kv = || -> KvClient<Channel> {
        KvClient::new(connect(endpoint)).max_decoding_message_size(usize::MAX)
    };
    let keys = || range("k", "l");
    let read = async || {
        let reply = kv().range(keys()).await.unwrap().into_inner();
        check(&reply.kvs, expected);
        assert_eq!((reply.count, reply.more), (expected as i64, false));
        let count = pb::RangeRequest {
            count_only: true,
            ..keys()
        };
        assert_eq!(
            kv().range(count).await.unwrap().into_inner().count,
            expected as i64
        );
    };
    let sorted = async {
        let request = pb::RangeRequest {
            sort_order: SortOrder::Descend.into(),
            ..keys()
        };
        let mut reply = kv().range(request).await.unwrap().into_inner();
        reply.kvs.reverse();
        check(&reply.kvs, expected);
    };
    let transactions = async {
        for write in [false, true] {
            let write = write.then(|| op(put("other", "v")));
            let ops = write.into_iter().chain([op(keys())]);
            let reply = kv().txn(all(ops)).await.unwrap().into_inner();
            let Some(pb::response_op::Response::ResponseRange(range)) =
                reply.responses.last().and_then(|op| op.response.clone())
            else {
                panic!("the last operation is a range")
            };
            check(&range.kvs, expected);
        }
    };
    let hash = async {
        let mut stub = cluster.maintenance(leader);
        stub.hash_kv(pb::HashKvRequest { revision: 0 })
            .await
            .unwrap();
        stub.hash(pb::HashRequest {}).await.unwrap();
    };
    let reads = async { tokio::join!(read(), read(), read()) };
    within("all replies", async {
        tokio::join!(reads, sorted, transactions, hash)
    })
    .await;
    let deletion = pb::DeleteRangeRequest {
        prev_kv: true,
        ..delete_range("k", "l")
    };
    let deleted = kv().delete_range(deletion).await.unwrap().into_inner();
    check(&deleted.prev_kvs, expected);
    assert!(
        kv().range(get("k000/00"))
            .await
            .unwrap()
            .into_inner()
            .kvs
            .is_empty()
    );
}

#[track_caller]
fn check(kvs: &[conclave_proto::mvccpb::KeyValue], expected: usize) {
    assert_eq!(kvs.len(), expected);
    assert!(kvs.is_sorted_by(|a, b| a.key < b.key));
    assert!(kvs.iter().all(|kv| kv.value.len() == VALUE_BYTES));
}

/// The member's peak memory since its start.
fn peak_kib(cluster: &mut Cluster, number: usize) -> u64 {
    let path = format!("/proc/{}/status", cluster.member(number).child().pid());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
