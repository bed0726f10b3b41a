//! The `etcd-client` crate, which is independent of this project and compiles etcd's own proto
//! files.

use etcd_client::{
    Client, Compare, CompareOp, EventType, GetOptions, LockOptions, PutOptions, ResignOptions, Txn,
    TxnOp, WatchOptions,
};
use harness::{Node, within};

suite![
    keys_and_ranges,
    a_transaction_takes_one_branch,
    a_watch_is_created_fed_and_canceled,
    a_lease_lives_and_takes_its_keys_along,
    a_lock_is_held_and_given_up,
    an_election_is_won_proclaimed_and_resigned,
    maintenance_answers,
];

async fn client(node: &Node) -> Client {
    Client::connect([node.endpoint()], None).await.unwrap()
}

async fn keys_and_ranges(node: Node) {
    let mut client = client(&node).await;
    client.put("a/1", "x", None).await.unwrap();
    client.put("a/2", "y", None).await.unwrap();
    let options = GetOptions::new().with_prefix();
    let found = client.get("a/", Some(options)).await.unwrap();
    assert_eq!(found.count(), 2);
    assert_eq!(found.kvs()[1].value(), b"y");
    let before = PutOptions::new().with_prev_key();
    let put = client.put("a/1", "z", Some(before)).await.unwrap();
    assert_eq!(put.prev_key().unwrap().value(), b"x");
    assert_eq!(client.delete("a/1", None).await.unwrap().deleted(), 1);
}

async fn a_transaction_takes_one_branch(node: Node) {
    let mut client = client(&node).await;
    let create = || {
        Txn::new()
            .when([Compare::create_revision("k", CompareOp::Equal, 0)])
            .and_then([TxnOp::put("k", "1", None)])
            .or_else([TxnOp::get("k", None)])
    };
    assert!(client.txn(create()).await.unwrap().succeeded());
    let second = client.txn(create()).await.unwrap();
    assert!(!second.succeeded());
    assert_eq!(second.op_responses().len(), 1);
}

async fn a_watch_is_created_fed_and_canceled(node: Node) {
    let mut client = client(&node).await;
    let options = WatchOptions::new().with_watch_id(7).with_prev_key();
    let mut watch = client.watch("k", Some(options)).await.unwrap();
    let mut next = async || {
        let message = within("a watch response", watch.message()).await;
        message.unwrap().expect("the stream goes on")
    };
    assert!(next().await.created());
    client.put("k", "1", None).await.unwrap();
    client.delete("k", None).await.unwrap();
    let put = next().await;
    assert_eq!(put.watch_id(), 7);
    assert_eq!(put.events()[0].event_type(), EventType::Put);
    let delete = next().await;
    assert_eq!(delete.events()[0].event_type(), EventType::Delete);
    assert_eq!(delete.events()[0].prev_kv().unwrap().value(), b"1");
    watch.cancel(7).await.unwrap();
    let last = within("the cancel", watch.message()).await.unwrap();
    assert!(last.expect("an answer").canceled());
}

async fn a_lease_lives_and_takes_its_keys_along(node: Node) {
    let mut client = client(&node).await;
    let lease = client.lease_grant(60, None).await.unwrap().id();
    let options = PutOptions::new().with_lease(lease);
    client.put("k", "1", Some(options)).await.unwrap();
    let (mut keeper, mut kept) = client.lease_keep_alive(lease).await.unwrap();
    keeper.keep_alive().await.unwrap();
    let answer = within("a keep-alive", kept.message()).await.unwrap();
    assert_eq!(answer.unwrap().ttl(), 60);
    client.lease_revoke(lease).await.unwrap();
    assert_eq!(client.get("k", None).await.unwrap().count(), 0);
}

async fn a_lock_is_held_and_given_up(node: Node) {
    let mut client = client(&node).await;
    let lease = client.lease_grant(60, None).await.unwrap().id();
    let options = LockOptions::new().with_lease(lease);
    let lock = client.lock("job", Some(options)).await.unwrap();
    assert!(lock.key().starts_with(b"job/"));
    client.unlock(lock.key()).await.unwrap();
    assert_eq!(client.get(lock.key(), None).await.unwrap().count(), 0);
}

async fn an_election_is_won_proclaimed_and_resigned(node: Node) {
    let mut client = client(&node).await;
    let lease = client.lease_grant(60, None).await.unwrap().id();
    let won = client.campaign("e", "first", lease).await.unwrap();
    let leader = won.leader().expect("a winner has a key").clone();
    let seen = client.leader("e").await.unwrap();
    assert_eq!(seen.kv().unwrap().value(), b"first");
    let options = ResignOptions::new().with_leader(leader);
    client.resign(Some(options)).await.unwrap();
    let nobody = client.leader("e").await.unwrap_err();
    assert!(
        nobody.to_string().contains("election: no leader"),
        "{nobody}"
    );
}

async fn maintenance_answers(node: Node) {
    let mut client = client(&node).await;
    assert!(!client.status().await.unwrap().version().is_empty());
    assert_eq!(client.member_list().await.unwrap().members().len(), 1);
    client.put("k", "1", None).await.unwrap();
    assert_ne!(client.hash_kv(0).await.unwrap().hash(), 0);
}
