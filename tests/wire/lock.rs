//! Locks.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::{LeaseRevokeRequest, LeaseTimeToLiveRequest};
use conclave_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use harness::api::{all, is_absent, op, put, revision_of, txn};
use harness::{Node, eventually, refused, within};
use tokio::task::JoinHandle;
use tonic::Status;

suite![
    a_free_lock_is_had_at_once,
    the_key_is_name_and_lease,
    the_second_waits_for_the_first,
    waiters_are_served_in_order,
    a_revoked_lease_frees_the_lock,
    a_waiter_that_gives_up_leaves_the_queue,
    the_same_lease_has_it_already,
    locks_of_other_names_are_free,
    without_a_lease_the_server_opens_a_session,
    an_unknown_lease_is_refused => "etcd sends the text as Unknown, from a client inside it",
    unlocking_what_is_not_locked_is_no_error,
    the_key_fences_writes,
];

async fn a_free_lock_is_had_at_once(node: Node) {
    node.grant(7, 600).await;
    let reply = lock(&node, "l", 7).await.unwrap();
    assert_eq!(revision_of(&reply.header), 2);
    let kv = node.get(reply.key).await.unwrap();
    assert_eq!((kv.lease, kv.value.len()), (7, 0));
}

async fn the_key_is_name_and_lease(node: Node) {
    node.grant(0xabc, 600).await;
    assert_eq!(
        lock(&node, "jobs/1", 0xabc).await.unwrap().key,
        "jobs/1/abc"
    );
}

async fn the_second_waits_for_the_first(node: Node) {
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    let first = lock(&node, "l", 1).await.unwrap();
    let second = waiting(&node, "l", 2).await;
    assert!(!second.is_finished());
    let unlocked = node
        .locks()
        .unlock(UnlockRequest {
            key: first.key.clone(),
        })
        .await
        .unwrap();
    assert!(unlocked.into_inner().header.is_some());
    assert_eq!(had(second).await.key, "l/2");
    assert_eq!(node.get(first.key).await, None);
}

async fn waiters_are_served_in_order(node: Node) {
    for id in 1..=4 {
        node.grant(id, 600).await;
    }
    lock(&node, "l", 4).await.unwrap();
    let mut waiters = Vec::new();
    for id in [3, 1, 2] {
        waiters.push((id, waiting(&node, "l", id).await));
    }
    let mut holder = 4;
    for (id, waiter) in waiters {
        assert!(!waiter.is_finished());
        node.locks()
            .unlock(UnlockRequest {
                key: format!("l/{holder}").into(),
            })
            .await
            .unwrap();
        assert_eq!(had(waiter).await.key, format!("l/{id}"));
        holder = id;
    }
}

async fn a_revoked_lease_frees_the_lock(node: Node) {
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    lock(&node, "l", 1).await.unwrap();
    let second = waiting(&node, "l", 2).await;
    node.leases()
        .lease_revoke(LeaseRevokeRequest { id: 1 })
        .await
        .unwrap();
    assert_eq!(had(second).await.key, "l/2");
}

async fn a_waiter_that_gives_up_leaves_the_queue(node: Node) {
    for id in 1..=3 {
        node.grant(id, 600).await;
    }
    lock(&node, "l", 1).await.unwrap();
    let second = waiting(&node, "l", 2).await;
    let third = waiting(&node, "l", 3).await;
    second.abort();
    eventually("the key of the waiter to go", || async {
        node.get("l/2").await.is_none().then_some(())
    })
    .await;
    node.locks()
        .unlock(UnlockRequest { key: "l/1".into() })
        .await
        .unwrap();
    assert_eq!(had(third).await.key, "l/3");
}

async fn the_same_lease_has_it_already(node: Node) {
    node.grant(7, 600).await;
    let first = lock(&node, "l", 7).await.unwrap();
    assert_eq!(lock(&node, "l", 7).await.unwrap().key, first.key);
}

async fn locks_of_other_names_are_free(node: Node) {
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    lock(&node, "l", 1).await.unwrap();
    assert_eq!(lock(&node, "l2", 2).await.unwrap().key, "l2/2");
    assert_eq!(lock(&node, "l/x", 2).await.unwrap().key, "l/x/2");
}

async fn without_a_lease_the_server_opens_a_session(node: Node) {
    let reply = lock(&node, "l", 0).await.unwrap();
    let lease = node.get(reply.key.clone()).await.unwrap().lease;
    assert!(lease != 0);
    assert_eq!(reply.key, format!("l/{lease:x}"));
    let request = LeaseTimeToLiveRequest {
        id: lease,
        keys: true,
    };
    let lease = node
        .leases()
        .lease_time_to_live(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((lease.granted_ttl, lease.keys), (60, vec![reply.key]));
}

async fn an_unknown_lease_is_refused(node: Node) {
    refused(lock(&node, "l", 99).await, ApiError::LeaseNotFound);
}

async fn unlocking_what_is_not_locked_is_no_error(node: Node) {
    let reply = node
        .locks()
        .unlock(UnlockRequest { key: "l/99".into() })
        .await
        .unwrap();
    assert_eq!(revision_of(&reply.into_inner().header), 1);
}

async fn the_key_fences_writes(node: Node) {
    node.grant(7, 600).await;
    let key = lock(&node, "l", 7).await.unwrap().key;
    let guarded = || txn([is_absent(key.clone())], [], [op(put("guarded", "1"))]);
    assert!(!node.txn(guarded()).await.succeeded);
    assert_eq!(node.value("guarded").await.unwrap(), "1");
    node.txn(all([op(put("guarded", "0"))])).await;
    node.locks()
        .unlock(UnlockRequest { key: key.clone() })
        .await
        .unwrap();
    assert!(node.txn(guarded()).await.succeeded, "the lock is lost");
    assert_eq!(node.value("guarded").await.unwrap(), "0");
}

async fn lock(node: &Node, name: &'static str, lease: i64) -> Result<LockResponse, Status> {
    let request = LockRequest {
        name: name.into(),
        lease,
    };
    let mut stub = node.locks();
    Ok(within("the lock", stub.lock(request)).await?.into_inner())
}

/// Requests the lock in the background; returns once the request is in the queue.
async fn waiting(
    node: &Node,
    name: &'static str,
    lease: i64,
) -> JoinHandle<Result<LockResponse, Status>> {
    let mut stub = node.locks();
    let request = LockRequest {
        name: name.into(),
        lease,
    };
    let waiter = tokio::spawn(async move { Ok(stub.lock(request).await?.into_inner()) });
    let key = format!("{name}/{lease:x}");
    eventually("the waiter's key", || node.get(key.clone())).await;
    waiter
}

async fn had(waiter: JoinHandle<Result<LockResponse, Status>>) -> LockResponse {
    within("the lock", waiter).await.unwrap().unwrap()
}
