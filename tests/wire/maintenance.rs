//! Maintenance: status, hashes, space, alarms.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::alarm_request::AlarmAction;
use conclave_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, DefragmentRequest, HashKvRequest, HashRequest,
    LeaseGrantRequest, LeaseRevokeRequest, StatusRequest, StatusResponse,
};
use harness::api::{all, compaction, delete, everything, op, put, put_leased, revision_of};
use harness::{Node, http1, refused};

suite![
    status_names_the_leader_and_the_term,
    status_reports_an_api_level_clients_accept => "it reports its own",
    status_has_sizes_and_quota => "3.4 does not report the quota",
    an_empty_store_has_a_size,
    the_quota_is_a_flag ["--quota-backend-bytes=5000000"] => "3.4 does not report the quota",
    the_applied_index_grows,
    hash_is_stable,
    hashkv_depends_on_history,
    hashkv_of_a_revision_does_not_change,
    hashkv_survives_compaction => "3.4 refuses the compaction revision",
    hashkv_names_its_revision => "the field came with 3.6",
    hashkv_of_bad_revisions_is_refused => "3.4 refuses the compaction revision too",
    defragment_changes_nothing,
    no_alarm_is_an_empty_list,
    an_alarm_is_raised_and_cleared,
    raising_twice_is_raising_once,
    clearing_what_is_not_raised_is_an_empty_list,
    no_space_refuses_what_grows,
    no_space_lets_the_rest_through,
    no_space_shows_in_status,
    corrupt_refuses_writes,
    corrupt_lets_reads_through,
    a_full_quota_raises_the_alarm ["--quota-backend-bytes=5000000"],
];

async fn status_names_the_leader_and_the_term(node: Node) {
    let status = status(&node).await;
    let header = status.header.unwrap();
    assert_eq!(status.leader, header.member_id);
    assert!(status.raft_term > 0 && status.raft_term == header.raft_term);
    assert!(status.raft_index > 0 && status.raft_applied_index <= status.raft_index);
    assert!(!status.is_learner && status.errors.is_empty());
}

async fn status_reports_an_api_level_clients_accept(node: Node) {
    let status = status(&node).await;
    assert_eq!(status.version, "3.7.1");
    assert_eq!(status.storage_version, "3.7.0");
    assert!(!status.downgrade_info.unwrap().enabled);
}

async fn status_has_sizes_and_quota(node: Node) {
    node.put("a", vec![b'x'; 100_000]).await;
    let status = status(&node).await;
    assert!(
        status.db_size >= 0 && status.db_size_in_use > 100_000,
        "{status:?}"
    );
    assert_eq!(status.db_size_quota, 2 << 30);
}

/// etcdctl 3.7 and dashboards divide by the size.
async fn an_empty_store_has_a_size(node: Node) {
    let empty = status(&node).await;
    assert!(empty.db_size > 0 && empty.db_size_in_use > 0, "{empty:?}");
    let metrics = http1::get(node.address(), "/metrics").await;
    let total = metrics.metric("etcd_mvcc_db_total_size_in_bytes");
    let in_use = metrics.metric("etcd_mvcc_db_total_size_in_use_in_bytes");
    assert_eq!(total, Some(empty.db_size as f64));
    if !node.is_etcd() {
        assert_eq!(in_use, Some(empty.db_size_in_use as f64));
    }
    node.put("a", vec![b'x'; 100_000]).await;
    let full = status(&node).await.db_size_in_use;
    assert!(full >= empty.db_size_in_use + 90_000, "{full}");
}

async fn the_quota_is_a_flag(node: Node) {
    assert_eq!(status(&node).await.db_size_quota, 5_000_000);
}

async fn the_applied_index_grows(node: Node) {
    let before = status(&node).await.raft_applied_index;
    node.put("a", "1").await;
    node.put("a", "2").await;
    assert!(status(&node).await.raft_applied_index >= before + 2);
}

async fn hash_is_stable(node: Node) {
    node.put("a", "1").await;
    let hash = || async {
        node.maintenance()
            .hash(HashRequest {})
            .await
            .unwrap()
            .into_inner()
    };
    let first = hash().await;
    assert!(first.header.is_some());
    assert_eq!(hash().await.hash, first.hash);
}

async fn hashkv_depends_on_history(node: Node) {
    let mut hashes = vec![hash_kv(&node, 0).await];
    for value in ["1", "2", "1"] {
        node.put("a", value).await;
        hashes.push(hash_kv(&node, 0).await);
    }
    node.delete("a").await;
    hashes.push(hash_kv(&node, 0).await);
    let mut different = hashes.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), hashes.len(), "{hashes:?}");
}

async fn hashkv_of_a_revision_does_not_change(node: Node) {
    some_history(&node).await;
    let then = hash_kv(&node, 0).await;
    node.put("later", "1").await;
    assert_eq!(hash_kv(&node, 7).await, then);
    assert_ne!(hash_kv(&node, 0).await, then);
}

/// The hash at the compaction revision covers what compaction keeps, so it is the same before and
/// after.
async fn hashkv_survives_compaction(node: Node) {
    some_history(&node).await;
    node.compact(3).await;
    let before = (hash_kv(&node, 5).await, hash_kv(&node, 7).await);
    node.put("later", "1").await;
    assert_eq!((hash_kv(&node, 5).await, hash_kv(&node, 7).await), before);
    let request = HashKvRequest { revision: 3 };
    let kept = node
        .maintenance()
        .hash_kv(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(kept.compact_revision, 3);
}

async fn hashkv_names_its_revision(node: Node) {
    some_history(&node).await;
    let reply = node
        .maintenance()
        .hash_kv(HashKvRequest { revision: 4 })
        .await
        .unwrap();
    let reply = reply.into_inner();
    assert_eq!((reply.hash_revision, reply.compact_revision), (4, -1));
    assert_eq!(revision_of(&reply.header), 7);
    node.compact(5).await;
    let reply = node
        .maintenance()
        .hash_kv(HashKvRequest { revision: 0 })
        .await
        .unwrap();
    let reply = reply.into_inner();
    assert_eq!((reply.hash_revision, reply.compact_revision), (7, 5));
}

async fn hashkv_of_bad_revisions_is_refused(node: Node) {
    some_history(&node).await;
    node.compact(5).await;
    let ask = |revision| {
        let mut stub = node.maintenance();
        async move { stub.hash_kv(HashKvRequest { revision }).await }
    };
    refused(ask(8).await, ApiError::FutureRev);
    refused(ask(4).await, ApiError::Compacted);
    assert!(ask(5).await.is_ok());
}

async fn defragment_changes_nothing(node: Node) {
    some_history(&node).await;
    let before = (node.range(everything()).await, hash_kv(&node, 0).await);
    let reply = node
        .maintenance()
        .defragment(DefragmentRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.header, None);
    assert_eq!(
        (node.range(everything()).await, hash_kv(&node, 0).await),
        before
    );
}

async fn no_alarm_is_an_empty_list(node: Node) {
    let reply = alarm(&node, AlarmAction::Get, 0, AlarmType::None).await;
    assert!(reply.is_empty());
}

async fn an_alarm_is_raised_and_cleared(node: Node) {
    let raised = AlarmMember {
        member_id: 42,
        alarm: AlarmType::Nospace as i32,
    };
    assert_eq!(
        alarm(&node, AlarmAction::Activate, 42, AlarmType::Nospace).await,
        [raised]
    );
    assert_eq!(
        alarm(&node, AlarmAction::Get, 0, AlarmType::None).await,
        [raised]
    );
    assert_eq!(
        alarm(&node, AlarmAction::Get, 0, AlarmType::Nospace).await,
        [raised]
    );
    assert!(
        alarm(&node, AlarmAction::Get, 0, AlarmType::Corrupt)
            .await
            .is_empty()
    );
    assert_eq!(
        alarm(&node, AlarmAction::Deactivate, 42, AlarmType::Nospace).await,
        [raised]
    );
    assert!(
        alarm(&node, AlarmAction::Get, 0, AlarmType::None)
            .await
            .is_empty()
    );
}

async fn raising_twice_is_raising_once(node: Node) {
    for _ in 0..2 {
        alarm(&node, AlarmAction::Activate, 42, AlarmType::Nospace).await;
    }
    assert_eq!(
        alarm(&node, AlarmAction::Get, 0, AlarmType::None)
            .await
            .len(),
        1
    );
}

async fn clearing_what_is_not_raised_is_an_empty_list(node: Node) {
    assert!(
        alarm(&node, AlarmAction::Deactivate, 42, AlarmType::Nospace)
            .await
            .is_empty()
    );
}

async fn no_space_refuses_what_grows(node: Node) {
    node.put("a", "1").await;
    alarm(&node, AlarmAction::Activate, 42, AlarmType::Nospace).await;
    refused(node.kv().put(put("a", "1")).await, ApiError::NoSpace);
    refused(
        node.kv().txn(all([op(put("a", "1"))])).await,
        ApiError::NoSpace,
    );
    let grant = LeaseGrantRequest { ttl: 60, id: 0 };
    refused(node.leases().lease_grant(grant).await, ApiError::NoSpace);
    assert_eq!(node.revision().await, 2);
}

async fn no_space_lets_the_rest_through(node: Node) {
    node.grant(7, 600).await;
    for key in ["a", "b", "c"] {
        node.put_with(put_leased(key, "1", 7)).await;
    }
    alarm(&node, AlarmAction::Activate, 42, AlarmType::Nospace).await;
    assert_eq!(node.delete("a").await, 5);
    assert_eq!(
        revision_of(&node.txn(all([op(delete("b"))])).await.header),
        6
    );
    node.compact(5).await;
    node.leases()
        .lease_revoke(LeaseRevokeRequest { id: 7 })
        .await
        .unwrap();
    assert_eq!(node.range(everything()).await.count, 0);
    alarm(&node, AlarmAction::Deactivate, 42, AlarmType::Nospace).await;
    assert_eq!(node.put("a", "again").await, 8);
}

async fn no_space_shows_in_status(node: Node) {
    alarm(&node, AlarmAction::Activate, 42, AlarmType::Nospace).await;
    let errors = status(&node).await.errors;
    assert_eq!(errors, ["memberID:42 alarm:NOSPACE "]);
}

async fn corrupt_refuses_writes(node: Node) {
    node.grant(7, 600).await;
    node.put("a", "1").await;
    alarm(&node, AlarmAction::Activate, 42, AlarmType::Corrupt).await;
    refused(node.kv().put(put("a", "2")).await, ApiError::Corrupt);
    refused(node.kv().delete_range(delete("a")).await, ApiError::Corrupt);
    refused(
        node.kv().txn(all([op(put("a", "2"))])).await,
        ApiError::Corrupt,
    );
    refused(node.kv().compact(compaction(2)).await, ApiError::Corrupt);
    let grant = LeaseGrantRequest { ttl: 60, id: 0 };
    refused(node.leases().lease_grant(grant).await, ApiError::Corrupt);
    let revoke = LeaseRevokeRequest { id: 7 };
    refused(node.leases().lease_revoke(revoke).await, ApiError::Corrupt);
}

async fn corrupt_lets_reads_through(node: Node) {
    node.put("a", "1").await;
    alarm(&node, AlarmAction::Activate, 42, AlarmType::Corrupt).await;
    assert_eq!(node.value("a").await.unwrap(), "1");
    alarm(&node, AlarmAction::Deactivate, 42, AlarmType::Corrupt).await;
    assert_eq!(node.put("a", "2").await, 3);
}

/// Fills the store; deletes and compaction still work after that, and the alarm has to be disarmed
/// explicitly.
async fn a_full_quota_raises_the_alarm(node: Node) {
    let mut outcome = Ok(());
    for index in 0..100 {
        let request = put(format!("k{index}"), vec![b'x'; 200_000]);
        outcome = node.kv().put(request).await.map(drop);
        if outcome.is_err() {
            break;
        }
    }
    refused(outcome, ApiError::NoSpace);
    let alarms = harness::eventually("the alarm", || async {
        let alarms = alarm(&node, AlarmAction::Get, 0, AlarmType::None).await;
        (!alarms.is_empty()).then_some(alarms)
    })
    .await;
    let member_id = status(&node).await.header.unwrap().member_id;
    assert_eq!(
        alarms,
        [AlarmMember {
            member_id,
            alarm: AlarmType::Nospace as i32
        }]
    );
    refused(node.kv().put(put("small", "")).await, ApiError::NoSpace);
    node.delete("k0").await;
}

async fn some_history(node: &Node) {
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        node.put(key, value).await;
    }
    node.delete("b").await;
    node.txn(all([op(put("c", "1")), op(put("a", "3"))])).await;
    node.put("b", "2").await;
}

async fn hash_kv(node: &Node, revision: i64) -> u32 {
    let request = HashKvRequest { revision };
    node.maintenance()
        .hash_kv(request)
        .await
        .unwrap()
        .into_inner()
        .hash
}

async fn status(node: &Node) -> StatusResponse {
    node.maintenance()
        .status(StatusRequest {})
        .await
        .unwrap()
        .into_inner()
}

async fn alarm(
    node: &Node,
    action: AlarmAction,
    member_id: u64,
    alarm: AlarmType,
) -> Vec<AlarmMember> {
    let request = AlarmRequest {
        action: action as i32,
        member_id,
        alarm: alarm as i32,
    };
    node.maintenance()
        .alarm(request)
        .await
        .unwrap()
        .into_inner()
        .alarms
}
