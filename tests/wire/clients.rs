//! Our own client, in typical use.

use conclave_client::recipes::{Election, Mutex};
use conclave_client::{Error, Keys};
use conclave_proto::ApiError;
use conclave_proto::v3electionpb::LeaderRequest;
use harness::api::{all, is_absent, op, put, txn, value_is};
use harness::{Node, eventually, within};

suite![
    reading_and_writing,
    ranges_and_deletes,
    transactions,
    errors_are_recognised,
    a_watch_sees_what_happens_after_it_opened,
    a_watch_begins_in_the_past,
    a_watch_that_comes_too_late_says_so,
    a_lease_is_kept_alive,
    a_revoked_lease_is_lost,
    a_lock_passes_on,
    an_election_is_observed,
    several_endpoints_can_be_given,
];

async fn reading_and_writing(node: Node) {
    let client = node.client().await;
    client.put("color", "green").await.unwrap();
    assert_eq!(client.get("color").await.unwrap().unwrap().value, "green");
    assert_eq!(client.get("shape").await.unwrap(), None);
}

async fn ranges_and_deletes(node: Node) {
    let client = node.client().await;
    for key in ["a/1", "a/2", "b/1"] {
        client.put(key, "x").await.unwrap();
    }
    assert_eq!(client.range(Keys::prefix("a/")).await.unwrap().count, 2);
    assert_eq!(client.range(Keys::prefix("")).await.unwrap().count, 3);
    assert_eq!(client.range(Keys::from_key("a/2")).await.unwrap().count, 2);
    assert_eq!(
        client.range(Keys::range("a/1", "a/2")).await.unwrap().count,
        1
    );
    assert_eq!(client.delete(Keys::prefix("a/")).await.unwrap().deleted, 2);
    assert_eq!(client.delete("b/1").await.unwrap().deleted, 1);
}

async fn transactions(node: Node) {
    let client = node.client().await;
    let create = txn([is_absent("a")], [op(put("a", "1"))], []);
    assert!(client.txn(create.clone()).await.unwrap().succeeded);
    assert!(!client.txn(create).await.unwrap().succeeded);
    let swap = txn([value_is("a", "1")], [op(put("a", "2"))], []);
    assert!(client.txn(swap).await.unwrap().succeeded);
}

async fn errors_are_recognised(node: Node) {
    let client = node.client().await;
    let error = client.put("", "1").await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    assert!(!error.is_unavailable());
    let error = client
        .txn(all([op(put("a", "1")), op(put("a", "2"))]))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Api(ApiError::DuplicateKey)),
        "{error:?}"
    );
    assert!(matches!(
        client.revoke(9).await,
        Err(Error::Api(ApiError::LeaseNotFound))
    ));
}

async fn a_watch_sees_what_happens_after_it_opened(node: Node) {
    let client = node.client().await;
    let mut watch = client
        .watch(Keys::prefix("a"))
        .with_previous()
        .open()
        .await
        .unwrap();
    client.put("a", "1").await.unwrap();
    client.put("b", "1").await.unwrap();
    client.delete("a").await.unwrap();
    let first = within("a change", watch.next()).await.unwrap().unwrap();
    assert_eq!((first.revision, first.events.len()), (2, 1));
    let second = within("a change", watch.next()).await.unwrap().unwrap();
    assert_eq!(second.events[0].prev_kv.as_ref().unwrap().value, "1");
}

async fn a_watch_begins_in_the_past(node: Node) {
    let client = node.client().await;
    for value in ["1", "2", "3"] {
        client.put("a", value).await.unwrap();
    }
    let mut watch = client.watch("a").from(3).open().await.unwrap();
    let mut revisions = Vec::new();
    while revisions.len() < 2 {
        let batch = within("a change", watch.next()).await.unwrap().unwrap();
        revisions.extend(
            batch
                .events
                .iter()
                .map(|event| event.kv.as_ref().unwrap().mod_revision),
        );
    }
    assert_eq!(revisions, [3, 4]);
}

async fn a_watch_that_comes_too_late_says_so(node: Node) {
    let client = node.client().await;
    for value in ["1", "2", "3"] {
        client.put("a", value).await.unwrap();
    }
    client.compact(4, true).await.unwrap();
    let mut watch = client.watch("a").from(2).open().await.unwrap();
    let error = within("the end", watch.next()).await.unwrap_err();
    assert!(
        matches!(error, Error::Compacted { revision: 4 }),
        "{error:?}"
    );
    assert!(watch.next().await.unwrap().is_none(), "the watch is over");
}

/// A second lease of 2 s without keep-alives serves as the clock: when it has expired, the kept one
/// must still exist.
async fn a_lease_is_kept_alive(node: Node) {
    let client = node.client().await;
    let kept = client.session(2).await.unwrap();
    for round in 1..=2 {
        node.grant(round, 2).await;
        eventually("an unkept lease to end", || async {
            (client.time_to_live(round, false).await.unwrap().ttl < 0).then_some(())
        })
        .await;
    }
    assert!(client.time_to_live(kept.id(), false).await.unwrap().ttl > 0);
    let id = kept.id();
    kept.close().await;
    assert_eq!(client.time_to_live(id, false).await.unwrap().ttl, -1);
}

async fn a_revoked_lease_is_lost(node: Node) {
    let client = node.client().await;
    let kept = client.session(2).await.unwrap();
    client.revoke(kept.id()).await.unwrap();
    within("the news", kept.lost()).await;
}

async fn a_lock_passes_on(node: Node) {
    let client = node.client().await;
    let (one, two) = (
        client.session(60).await.unwrap(),
        client.session(60).await.unwrap(),
    );
    let first = Mutex::new(&one, "l").lock().await.unwrap();
    let key = first.key().clone();
    assert!(client.get(key.clone()).await.unwrap().is_some());
    first.release().await.unwrap();
    let mutex = Mutex::new(&two, "l");
    let second = within("the lock", mutex.lock()).await.unwrap();
    assert_ne!(*second.key(), key);
}

/// Our recipes and the API's own calls share elections.
async fn an_election_is_observed(node: Node) {
    let client = node.client().await;
    let session = client.session(60).await.unwrap();
    assert_eq!(Election::leader(&client, "e").await.unwrap(), None);
    let election = Election::new(&session, "e");
    let leadership = within("the election", election.campaign("one"))
        .await
        .unwrap();
    let leader = Election::leader(&client, "e").await.unwrap().unwrap();
    assert_eq!(leader.value, "one");
    let mut ours = Election::observe(&client, "e");
    let request = LeaderRequest { name: "e".into() };
    let observing = client.elections().observe(request).await;
    let mut theirs = observing.unwrap().into_inner();
    for value in ["one", "two"] {
        let seen = within("the leader", ours.next()).await.unwrap();
        assert_eq!(seen.value, value);
        let seen = within("the leader", theirs.message())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(seen.kv.unwrap().value, value);
        leadership.proclaim("two").await.unwrap();
    }
    leadership.resign().await.unwrap();
    assert_eq!(Election::leader(&client, "e").await.unwrap(), None);
}

async fn several_endpoints_can_be_given(node: Node) {
    let endpoints = [node.endpoint(), node.endpoint()];
    let client = conclave_client::Client::connect(endpoints).await.unwrap();
    for value in 0..10 {
        client.put("a", value.to_string()).await.unwrap();
    }
    assert_eq!(client.get("a").await.unwrap().unwrap().version, 10);
}
