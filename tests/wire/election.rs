//! Elections.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::LeaseRevokeRequest;
use conclave_proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ResignRequest,
};
use harness::{Node, eventually, refused, within};
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

suite![
    the_only_candidate_leads,
    the_key_is_name_and_lease,
    the_second_waits_for_the_first,
    a_candidate_that_gives_up_leaves_the_queue,
    a_revoked_lease_ends_the_leadership,
    campaigning_again_changes_the_value,
    without_a_lease_the_server_opens_a_session,
    an_unknown_lease_is_refused => "etcd sends the text as Unknown, from a client inside it",
    proclaim_changes_the_value,
    proclaim_after_the_end_is_refused,
    proclaim_without_a_leader_is_refused,
    leader_without_one_is_refused,
    leader_is_the_present_one,
    resign_frees_the_leadership,
    resign_after_the_end_is_no_error,
    resign_without_a_leader_is_refused,
    observe_tells_the_leader_and_each_proclamation,
    observe_tells_the_next_leader,
    observe_waits_for_the_first_leader,
    elections_of_other_names_are_free,
];

async fn the_only_candidate_leads(node: Node) {
    node.grant(7, 600).await;
    let key = lead(&node, "e", 7, "me").await;
    assert_eq!((&key.name[..], key.rev, key.lease), (&b"e"[..], 2, 7));
    let kv = node.get(key.key).await.unwrap();
    assert_eq!(
        (&kv.value[..], kv.lease, kv.create_revision),
        (&b"me"[..], 7, 2)
    );
}

async fn the_key_is_name_and_lease(node: Node) {
    node.grant(0xabc, 600).await;
    assert_eq!(lead(&node, "jobs/1", 0xabc, "me").await.key, "jobs/1/abc");
}

async fn the_second_waits_for_the_first(node: Node) {
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    let first = lead(&node, "e", 1, "one").await;
    let second = candidate(&node, "e", 2, "two").await;
    assert!(!second.is_finished());
    assert_eq!(leader(&node, "e").await.unwrap(), "one");
    resign(&node, Some(first)).await.unwrap();
    let key = elected(second).await;
    assert_eq!((&key.key[..], key.lease), (&b"e/2"[..], 2));
    assert_eq!(leader(&node, "e").await.unwrap(), "two");
}

async fn a_candidate_that_gives_up_leaves_the_queue(node: Node) {
    for id in 1..=3 {
        node.grant(id, 600).await;
    }
    let first = lead(&node, "e", 1, "one").await;
    let second = candidate(&node, "e", 2, "two").await;
    let third = candidate(&node, "e", 3, "three").await;
    second.abort();
    eventually("the candidacy to go", || async {
        node.get("e/2").await.is_none().then_some(())
    })
    .await;
    resign(&node, Some(first)).await.unwrap();
    assert_eq!(elected(third).await.key, "e/3");
}

async fn a_revoked_lease_ends_the_leadership(node: Node) {
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    let first = lead(&node, "e", 1, "one").await;
    let second = candidate(&node, "e", 2, "two").await;
    node.leases()
        .lease_revoke(LeaseRevokeRequest { id: 1 })
        .await
        .unwrap();
    elected(second).await;
    refused(
        proclaim(&node, Some(first), "still me").await,
        ApiError::ElectionNotLeader,
    );
}

async fn campaigning_again_changes_the_value(node: Node) {
    node.grant(7, 600).await;
    let first = lead(&node, "e", 7, "one").await;
    let again = lead(&node, "e", 7, "two").await;
    assert_eq!((again.key, again.rev), (first.key, first.rev));
    assert_eq!(leader(&node, "e").await.unwrap(), "two");
}

async fn without_a_lease_the_server_opens_a_session(node: Node) {
    let key = lead(&node, "e", 0, "me").await;
    assert!(key.lease != 0);
    assert_eq!(node.get(key.key).await.unwrap().lease, key.lease);
}

async fn an_unknown_lease_is_refused(node: Node) {
    let request = campaign_request("e", 99, "me");
    let outcome = within("an answer", node.elections().campaign(request)).await;
    refused(outcome, ApiError::LeaseNotFound);
}

async fn proclaim_changes_the_value(node: Node) {
    node.grant(7, 600).await;
    let key = lead(&node, "e", 7, "one").await;
    proclaim(&node, Some(key.clone()), "two").await.unwrap();
    assert_eq!(leader(&node, "e").await.unwrap(), "two");
    let kv = node.get(key.key).await.unwrap();
    assert_eq!((kv.create_revision, kv.version, kv.lease), (key.rev, 2, 7));
}

async fn proclaim_after_the_end_is_refused(node: Node) {
    node.grant(7, 600).await;
    let key = lead(&node, "e", 7, "one").await;
    resign(&node, Some(key.clone())).await.unwrap();
    refused(
        proclaim(&node, Some(key), "two").await,
        ApiError::ElectionNotLeader,
    );
}

async fn proclaim_without_a_leader_is_refused(node: Node) {
    refused(
        proclaim(&node, None, "x").await,
        ApiError::ElectionLeaderMissing,
    );
}

async fn leader_without_one_is_refused(node: Node) {
    refused(leader(&node, "e").await, ApiError::ElectionNoLeader);
    node.put("elsewhere/1", "x").await;
    refused(leader(&node, "e").await, ApiError::ElectionNoLeader);
}

async fn leader_is_the_present_one(node: Node) {
    node.grant(7, 600).await;
    let key = lead(&node, "e", 7, "me").await;
    let request = LeaderRequest { name: "e".into() };
    let reply = node.elections().leader(request).await.unwrap().into_inner();
    assert!(reply.header.is_some());
    assert_eq!(reply.kv, node.get(key.key).await);
}

async fn resign_frees_the_leadership(node: Node) {
    node.grant(7, 600).await;
    let key = lead(&node, "e", 7, "me").await;
    resign(&node, Some(key.clone())).await.unwrap();
    assert_eq!(node.get(key.key).await, None);
    refused(leader(&node, "e").await, ApiError::ElectionNoLeader);
}

async fn resign_after_the_end_is_no_error(node: Node) {
    node.grant(7, 600).await;
    let key = lead(&node, "e", 7, "me").await;
    resign(&node, Some(key.clone())).await.unwrap();
    resign(&node, Some(key.clone())).await.unwrap();
    lead(&node, "e", 7, "again").await;
    resign(&node, Some(key)).await.unwrap();
    assert_eq!(
        leader(&node, "e").await.unwrap(),
        "again",
        "an old key ends nothing"
    );
}

async fn resign_without_a_leader_is_refused(node: Node) {
    refused(resign(&node, None).await, ApiError::ElectionLeaderMissing);
}

async fn observe_tells_the_leader_and_each_proclamation(node: Node) {
    node.grant(7, 600).await;
    let key = lead(&node, "e", 7, "one").await;
    let mut observed = observe(&node, "e").await;
    assert_eq!(told(&mut observed).await, "one");
    for value in ["two", "three"] {
        proclaim(&node, Some(key.clone()), value).await.unwrap();
        assert_eq!(told(&mut observed).await, value);
    }
}

async fn observe_tells_the_next_leader(node: Node) {
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    let first = lead(&node, "e", 1, "one").await;
    let mut observed = observe(&node, "e").await;
    assert_eq!(told(&mut observed).await, "one");
    let second = candidate(&node, "e", 2, "two").await;
    resign(&node, Some(first)).await.unwrap();
    assert_eq!(told(&mut observed).await, "two");
    elected(second).await;
}

async fn observe_waits_for_the_first_leader(node: Node) {
    node.grant(7, 600).await;
    let mut stub = node.elections();
    let observing = tokio::spawn(async move {
        let request = LeaderRequest { name: "e".into() };
        let mut observed = stub.observe(request).await.unwrap().into_inner();
        told(&mut observed).await
    });
    lead(&node, "e", 7, "first").await;
    assert_eq!(
        within("the first leader", observing).await.unwrap(),
        "first"
    );
}

async fn elections_of_other_names_are_free(node: Node) {
    node.grant(1, 600).await;
    node.grant(2, 600).await;
    lead(&node, "e", 1, "one").await;
    lead(&node, "e2", 2, "two").await;
    assert_eq!(leader(&node, "e").await.unwrap(), "one");
    assert_eq!(leader(&node, "e2").await.unwrap(), "two");
}

fn campaign_request(name: &'static str, lease: i64, value: &'static str) -> CampaignRequest {
    CampaignRequest {
        name: name.into(),
        lease,
        value: value.into(),
    }
}

async fn lead(node: &Node, name: &'static str, lease: i64, value: &'static str) -> LeaderKey {
    let mut stub = node.elections();
    let campaign = stub.campaign(campaign_request(name, lease, value));
    let reply = within("the election", campaign).await.unwrap().into_inner();
    assert!(reply.header.is_some());
    reply.leader.unwrap()
}

/// Campaigns in the background; returns once the candidate is in the queue.
async fn candidate(
    node: &Node,
    name: &'static str,
    lease: i64,
    value: &'static str,
) -> JoinHandle<LeaderKey> {
    let mut stub = node.elections();
    let request = campaign_request(name, lease, value);
    let waiter = tokio::spawn(async move {
        stub.campaign(request)
            .await
            .unwrap()
            .into_inner()
            .leader
            .unwrap()
    });
    let key = format!("{name}/{lease:x}");
    eventually("the candidate's key", || node.get(key.clone())).await;
    waiter
}

async fn elected(candidate: JoinHandle<LeaderKey>) -> LeaderKey {
    within("the election", candidate).await.unwrap()
}

async fn leader(node: &Node, name: &'static str) -> Result<String, Status> {
    let reply = node
        .elections()
        .leader(LeaderRequest { name: name.into() })
        .await?;
    let value = reply.into_inner().kv.unwrap().value;
    Ok(String::from_utf8_lossy(&value).into_owned())
}

async fn proclaim(
    node: &Node,
    leader: Option<LeaderKey>,
    value: &'static str,
) -> Result<(), Status> {
    let request = ProclaimRequest {
        leader,
        value: value.into(),
    };
    node.elections().proclaim(request).await.map(drop)
}

async fn resign(node: &Node, leader: Option<LeaderKey>) -> Result<(), Status> {
    node.elections()
        .resign(ResignRequest { leader })
        .await
        .map(drop)
}

async fn observe(node: &Node, name: &'static str) -> Streaming<LeaderResponse> {
    let mut stub = node.elections();
    let stream = stub.observe(LeaderRequest { name: name.into() });
    within("observing", stream).await.unwrap().into_inner()
}

async fn told(observed: &mut Streaming<LeaderResponse>) -> String {
    let reply = within("a leader", observed.message())
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&reply.kv.unwrap().value).into_owned()
}
