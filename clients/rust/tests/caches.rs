//! K13 to K15: groups, services and caches.

use conclave_client::recipes::{Cache, CacheChange, Group, LeaderLatch, OwnerEvent, Service};
use conclave_client::{Client, ErrorKind};

use crate::proxy::{Mode, Proxy};
use crate::server::Server;
use crate::wait::{soon, until};

#[tokio::test]
async fn a_cache_has_no_gap_over_broken_connections_and_compactions() {
    let server = Server::start().await;
    let proxy = Proxy::before(&server.endpoint).await;
    let through = Client::connect([&proxy.endpoint]).await.unwrap();
    let client = server.client().await;
    client.put("p/old", "1").await.unwrap();
    client.put("p/gone", "1").await.unwrap();
    let cache = Cache::open(&through, "p/").await.unwrap();
    let mut changes = cache.listen();
    assert_eq!(cache.list().len(), 2);
    proxy.set(Mode::Break);
    client.delete("p/gone").await.unwrap();
    client.put("p/new", "1").await.unwrap();
    let put = client.put("p/new", "2").await.unwrap();
    let revision = put.header.unwrap().revision;
    client.compact(revision, true).await.unwrap();
    proxy.set(Mode::Pass);
    soon("the cache", cache.at_least(revision)).await.unwrap();
    assert_eq!(cache.get("p/new").unwrap().value, "2");
    assert!(cache.get("p/gone").is_none());
    let deleted = soon("a change", changes.next()).await.unwrap();
    assert_eq!(deleted, CacheChange::Delete("p/gone".into()));
    assert!(matches!(changes.next().await, Some(CacheChange::Put(kv)) if kv.value == "2"));
    // A revision that changes nothing below the prefix.
    let other = client.put("other", "1").await.unwrap();
    let revision = other.header.unwrap().revision;
    soon("the revision", cache.at_least(revision))
        .await
        .unwrap();
    through.close().await;
    let error = cache.at_least(revision + 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(changes.next().await.is_none());
}

#[tokio::test]
async fn members_go_with_their_sessions() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let group = Group::new(&client, "g");
    let cache = group.listen().await.unwrap();
    let first = group.join(&one, "a", "1").await.unwrap();
    let again = group.join(&one, "a", "2").await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Invalid, "{again}");
    let second = group.join(&two, "b", "2").await.unwrap();
    first.set("3").await.unwrap();
    let members: Vec<_> = group.members().await.unwrap().into_iter().collect();
    assert_eq!(
        members,
        [("a".into(), "3".into()), ("b".into(), "2".into())]
    );
    first.leave().await.unwrap();
    two.close().await;
    until("an empty group", async || cache.list().is_empty()).await;
    assert_eq!(second.set("4").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_member_that_joins_replaces_one_of_the_same_name() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two, three) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let group = Group::new(&client, "g");
    let first = group.join(&one, "a", "1").await.unwrap();
    first.set("one").await.unwrap();
    let second = group.join(&two, "a", "2").await.unwrap();
    let mut events = second.held().events();
    // The former one is notified, cannot change the new one, and does not take it along.
    soon("the loss", first.held().lost()).await;
    let error = first.set("3").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost);
    first.leave().await.unwrap();
    one.close().await;
    second.set("4").await.unwrap();
    let members = group.members().await.unwrap();
    assert_eq!(
        members.into_iter().collect::<Vec<_>>(),
        [("a".into(), "4".into())]
    );
    // A put of the former member is no loss of the new one.
    second.set("revoke").await.unwrap();
    assert_eq!(
        soon("the demand", events.next()).await,
        Some(OwnerEvent::Revoke)
    );
    let third = group.join(&three, "a", "5").await.unwrap();
    assert_eq!(
        soon("the loss", events.next()).await,
        Some(OwnerEvent::Lost)
    );
    // Its session can be the member again, and then the lost handle is of no use.
    let again = group.join(&two, "a", "6").await.unwrap();
    soon("the loss", third.held().lost()).await;
    let error = second.set("7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost);
    second.leave().await.unwrap();
    third.leave().await.unwrap();
    assert_eq!(group.members().await.unwrap()["a".as_bytes()], "6");
    again.leave().await.unwrap();
    assert!(group.members().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_instance_that_registers_replaces_one_of_the_same_address() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let service = Service::new(&client, "s");
    let first = service.register(&one, "a:1", None).await.unwrap();
    let second = service.register(&two, "a:1", None).await.unwrap();
    first.release().await.unwrap();
    one.close().await;
    assert_eq!(service.instances().await.unwrap().len(), 1);
    second.release().await.unwrap();
    assert!(service.instances().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_service_has_the_addresses_of_its_instances() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(10).await.unwrap();
    let service = Service::new(&client, "s");
    let second = service.register(&session, "b:2", None).await.unwrap();
    let zone = serde_json::json!({"zone": "x"});
    let _first = service
        .register(&session, "a:1", Some(zone.clone()))
        .await
        .unwrap();
    let instances = service.instances().await.unwrap();
    let addresses: Vec<_> = instances.iter().map(|one| &one.address[..]).collect();
    assert_eq!(
        (addresses, &instances[0].metadata),
        (vec!["a:1", "b:2"], &zone)
    );
    // As etcd's Go client writes it.
    let stored = client.get("s/b:2").await.unwrap().unwrap();
    assert_eq!(stored.value, r#"{"Addr":"b:2","Metadata":null,"Op":0}"#);
    second.release().await.unwrap();
    assert_eq!(service.instances().await.unwrap().len(), 1);
    client.put("s/c:3", "what").await.unwrap();
    assert!(service.instances().await.is_err());
}

#[tokio::test]
async fn a_latched_candidate_whose_key_was_deleted_is_one_again() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(10).await.unwrap();
    let latch = LeaderLatch::start(&session, "e", "one");
    // Kept, as a user may keep it.
    let first = soon("the leadership", latch.wait()).await.unwrap();
    let keys = conclave_client::Keys::prefix("e/");
    client.delete(keys).await.unwrap();
    until("another leadership", async || {
        let leads = soon("the leadership", latch.wait()).await.unwrap();
        leads.held().token() > first.held().token()
    })
    .await;
    assert!(latch.is_leader());
}

#[tokio::test]
async fn a_latched_candidate_leads_in_its_turn() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(3).await.unwrap(),
        client.session(3).await.unwrap(),
    );
    let first = LeaderLatch::start(&one, "e", "one");
    soon("the first", first.wait()).await.unwrap();
    let second = LeaderLatch::start(&two, "e", "two");
    assert!(first.is_leader() && !second.is_leader());
    client.revoke(one.id()).await.unwrap();
    soon("the second", second.wait()).await.unwrap();
    until("the first to know", async || !first.is_leader()).await;
    assert!(soon("the end", first.wait()).await.is_err());
    drop(second);
    until("an empty election", async || {
        let found = client.range(conclave_client::Keys::prefix("e/")).await;
        found.unwrap().count == 0
    })
    .await;
}
