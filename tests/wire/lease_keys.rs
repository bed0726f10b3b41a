//! Leases with attached keys.

use conclave_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest,
};
use harness::api::{all, delete, everything, keys, op, put, put_leased, revision_of, watch_range};
use harness::{Node, Watching, eventually, http1, raw, within};

suite![
    revoking_deletes_all_keys_in_one_revision,
    revoking_without_keys_is_no_revision,
    time_to_live_lists_the_keys,
    keys_are_listed_if_asked_only,
    another_lease_takes_a_key_over,
    a_put_without_lease_detaches,
    a_deleted_key_is_detached,
    a_key_put_in_a_txn_is_attached,
    expiry_deletes_the_keys,
    expiry_spares_keys_that_moved,
    a_kept_lease_outlives_its_ttl,
    many_leases_expire_together,
    a_long_list_of_keys_is_not_held_for_ever => "it holds every reply in memory",
];

async fn revoking_deletes_all_keys_in_one_revision(node: Node) {
    node.grant(7, 600).await;
    for key in ["b", "a", "c"] {
        node.put_with(put_leased(key, "1", 7)).await;
    }
    node.put("d", "stays").await;
    let reply = node
        .leases()
        .lease_revoke(LeaseRevokeRequest { id: 7 })
        .await
        .unwrap();
    assert_eq!(revision_of(&reply.into_inner().header), 6);
    let left = node.range(everything()).await;
    assert_eq!(keys(&left.kvs), ["d"]);
    assert_eq!(revision_of(&left.header), 6);
}

async fn revoking_without_keys_is_no_revision(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    node.delete("a").await;
    node.leases()
        .lease_revoke(LeaseRevokeRequest { id: 7 })
        .await
        .unwrap();
    assert_eq!(node.revision().await, 3);
}

async fn time_to_live_lists_the_keys(node: Node) {
    node.grant(7, 600).await;
    for key in ["b", "a", "c"] {
        node.put_with(put_leased(key, "1", 7)).await;
    }
    assert_eq!(attached(&node, 7).await, ["a", "b", "c"]);
}

async fn keys_are_listed_if_asked_only(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    let request = LeaseTimeToLiveRequest { id: 7, keys: false };
    let reply = node
        .leases()
        .lease_time_to_live(request)
        .await
        .unwrap()
        .into_inner();
    assert!(reply.keys.is_empty());
}

async fn another_lease_takes_a_key_over(node: Node) {
    node.grant(7, 600).await;
    node.grant(8, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    node.put_with(put_leased("a", "2", 8)).await;
    assert!(attached(&node, 7).await.is_empty());
    assert_eq!(attached(&node, 8).await, ["a"]);
    node.leases()
        .lease_revoke(LeaseRevokeRequest { id: 7 })
        .await
        .unwrap();
    assert_eq!(node.value("a").await.unwrap(), "2");
}

async fn a_put_without_lease_detaches(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    node.put("a", "2").await;
    assert!(attached(&node, 7).await.is_empty());
    node.leases()
        .lease_revoke(LeaseRevokeRequest { id: 7 })
        .await
        .unwrap();
    assert_eq!(node.value("a").await.unwrap(), "2");
}

async fn a_deleted_key_is_detached(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    node.delete("a").await;
    assert!(attached(&node, 7).await.is_empty());
    node.put("a", "2").await;
    node.leases()
        .lease_revoke(LeaseRevokeRequest { id: 7 })
        .await
        .unwrap();
    assert_eq!(node.value("a").await.unwrap(), "2");
}

async fn a_key_put_in_a_txn_is_attached(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("gone", "1", 7)).await;
    let keep = PutRequest {
        ignore_lease: true,
        ..put("kept", "2")
    };
    node.put_with(put_leased("kept", "1", 7)).await;
    node.txn(all([
        op(put_leased("a", "1", 7)),
        op(delete("gone")),
        op(keep),
    ]))
    .await;
    assert_eq!(attached(&node, 7).await, ["a", "kept"]);
}

async fn expiry_deletes_the_keys(node: Node) {
    node.grant(7, 2).await;
    node.put_with(put_leased("a", "1", 7)).await;
    node.put_with(put_leased("b", "1", 7)).await;
    let mut watching = Watching::on(&node, watch_range("a", "z")).await;
    assert_eq!(watching.told().await, ["-a@4", "-b@4"]);
    let request = LeaseTimeToLiveRequest { id: 7, keys: true };
    let reply = node
        .leases()
        .lease_time_to_live(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.ttl, -1);
}

async fn expiry_spares_keys_that_moved(node: Node) {
    node.grant(7, 2).await;
    node.put_with(put_leased("a", "1", 7)).await;
    node.put_with(put_leased("b", "1", 7)).await;
    let mut watching = Watching::on(&node, watch_range("a", "z")).await;
    node.put("a", "2").await;
    assert_eq!(watching.told_at_least(2).await, ["a=2@4", "-b@5"]);
    assert_eq!(node.value("a").await.unwrap(), "2");
}

/// Two leases of 2 s: the renewed one still exists when the other has expired.
async fn a_kept_lease_outlives_its_ttl(node: Node) {
    node.grant(7, 2).await;
    node.grant(8, 2).await;
    for (key, lease) in [("kept", 7), ("lost", 8)] {
        node.put_with(put_leased(key, "1", lease)).await;
    }
    eventually("the end of the other lease", || async {
        let renewal = tokio_stream::iter([LeaseKeepAliveRequest { id: 7 }]);
        let mut replies = node
            .leases()
            .lease_keep_alive(renewal)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(replies.message().await.unwrap().unwrap().ttl, 2);
        node.get("lost").await.is_none().then_some(())
    })
    .await;
    assert_eq!(node.value("kept").await.unwrap(), "1");
}

async fn many_leases_expire_together(node: Node) {
    const LEASES: i64 = 200;
    for id in 1..=LEASES {
        node.grant(id, 2).await;
        node.put_with(put_leased(format!("k{id}"), "1", id)).await;
    }
    eventually("the end of all", || async {
        (node.range(everything()).await.count == 0).then_some(())
    })
    .await;
    eventually("all to be counted", || async {
        let metrics = http1::get(node.address(), "/metrics").await;
        let expired = metrics.metric("etcd_debugging_server_lease_expired_total");
        (expired == Some(LEASES as f64)).then_some(())
    })
    .await;
}

async fn attached(node: &Node, id: i64) -> Vec<String> {
    let request = LeaseTimeToLiveRequest { id, keys: true };
    let reply = node
        .leases()
        .lease_time_to_live(request)
        .await
        .unwrap()
        .into_inner();
    let mut keys: Vec<_> = reply
        .keys
        .iter()
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .collect();
    keys.sort_unstable();
    keys
}

/// A reply that lists many keys counts towards the limits on large replies: if a client does not
/// read it, the reply is dropped, so that its memory is free for the next one.
async fn a_long_list_of_keys_is_not_held_for_ever(node: Node) {
    const TXNS: usize = 64;
    const KEYS_PER_TXN: usize = 128;
    node.grant(7, 600).await;
    for txn in 0..TXNS {
        let puts = (0..KEYS_PER_TXN).map(|n| {
            let key = format!("{txn:03}/{n:03}/{}", "k".repeat(1000));
            op(put_leased(key, "", 7))
        });
        node.txn(all(puts)).await;
    }
    let request = LeaseTimeToLiveRequest { id: 7, keys: true };
    let path = "/etcdserverpb.Lease/LeaseTimeToLive";
    let begun = raw::call_unread(node.another_channel(), path, request);
    let mut unread = within("the reply to begin", begun).await.unwrap();
    // The thread that sends the reply gives up.
    eventually("the reply to be given up", || async {
        let metrics = http1::get(node.address(), "/metrics").await;
        let reading = metrics.metric("etcd_mvcc_db_open_read_transactions");
        (reading == Some(0.0)).then_some(())
    })
    .await;
    let outcome = within("the end of the reply", unread.message()).await;
    assert!(outcome.is_err(), "it was held");
    // A reply that is read arrives completely.
    let mut leases = node.leases().max_decoding_message_size(usize::MAX);
    let reply = leases
        .lease_time_to_live(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.keys.len(), TXNS * KEYS_PER_TXN);
    assert!(reply.keys.is_sorted() && reply.granted_ttl == 600);
}
