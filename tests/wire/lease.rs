//! Leases without keys: grant, renew, query, revoke.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use harness::api::{put_leased, revision_of};
use harness::{Node, refused, within};
use tonic::{Code, Status, Streaming};

suite![
    the_server_chooses_a_positive_id,
    a_chosen_id_is_kept,
    chosen_ids_differ,
    an_id_in_use_is_refused,
    an_id_can_be_used_again_after_its_end,
    a_short_ttl_is_raised,
    a_ttl_of_zero_or_less_is_raised,
    the_longest_ttl_is_granted,
    a_longer_ttl_is_refused,
    a_grant_is_no_revision,
    revoking_an_unknown_lease_is_refused,
    a_revoked_lease_is_unknown,
    keep_alive_answers_in_order,
    keep_alive_of_an_unknown_lease_says_zero,
    keep_alive_restores_the_ttl,
    time_to_live_counts_down_from_the_grant,
    time_to_live_of_an_unknown_lease_says_minus_one,
    all_leases_are_listed,
    equal_leases_are_listed_in_the_order_of_their_grants,
    an_empty_list_is_a_list,
    a_negative_id_is_an_id,
];

async fn the_server_chooses_a_positive_id(node: Node) {
    let reply = grant(&node, 0, 60).await.unwrap();
    assert!(reply.id > 0 && reply.error.is_empty());
    assert_eq!(reply.ttl, 60);
    assert!(reply.header.is_some());
}

async fn a_chosen_id_is_kept(node: Node) {
    let reply = grant(&node, 4711, 60).await.unwrap();
    assert_eq!((reply.id, reply.ttl), (4711, 60));
    assert_eq!(ids(&node).await, [4711]);
}

async fn chosen_ids_differ(node: Node) {
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(grant(&node, 0, 60).await.unwrap().id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

async fn an_id_in_use_is_refused(node: Node) {
    node.grant(7, 60).await;
    refused(grant(&node, 7, 60).await, ApiError::LeaseExist);
    refused(grant(&node, 7, 90).await, ApiError::LeaseExist);
}

async fn an_id_can_be_used_again_after_its_end(node: Node) {
    node.grant(7, 60).await;
    revoke(&node, 7).await.unwrap();
    assert_eq!(node.grant(7, 90).await, 90);
}

async fn a_short_ttl_is_raised(node: Node) {
    assert_eq!(node.grant(1, 1).await, 2);
    assert_eq!(node.grant(2, 2).await, 2);
    assert_eq!(node.grant(3, 3).await, 3);
    assert_eq!(time_to_live(&node, 1).await.granted_ttl, 2);
}

async fn a_ttl_of_zero_or_less_is_raised(node: Node) {
    assert_eq!(node.grant(1, 0).await, 2);
    assert_eq!(node.grant(2, -5).await, 2);
}

async fn the_longest_ttl_is_granted(node: Node) {
    assert_eq!(node.grant(1, 9_000_000_000).await, 9_000_000_000);
}

async fn a_longer_ttl_is_refused(node: Node) {
    refused(
        grant(&node, 1, 9_000_000_001).await,
        ApiError::LeaseTTLTooLarge,
    );
    refused(grant(&node, 0, i64::MAX).await, ApiError::LeaseTTLTooLarge);
    assert!(ids(&node).await.is_empty());
}

async fn a_grant_is_no_revision(node: Node) {
    let reply = grant(&node, 0, 60).await.unwrap();
    assert_eq!(revision_of(&reply.header), 1);
    revoke(&node, reply.id).await.unwrap();
    assert_eq!(node.revision().await, 1);
}

async fn revoking_an_unknown_lease_is_refused(node: Node) {
    refused(revoke(&node, 7).await, ApiError::LeaseNotFound);
    refused(revoke(&node, 0).await, ApiError::LeaseNotFound);
}

async fn a_revoked_lease_is_unknown(node: Node) {
    node.grant(7, 60).await;
    revoke(&node, 7).await.unwrap();
    refused(revoke(&node, 7).await, ApiError::LeaseNotFound);
    refused(
        node.kv().put(put_leased("a", "1", 7)).await,
        ApiError::LeaseNotFound,
    );
    assert_eq!(time_to_live(&node, 7).await.ttl, -1);
}

async fn keep_alive_answers_in_order(node: Node) {
    node.grant(1, 60).await;
    node.grant(2, 70).await;
    let mut replies = keep_alive(&node, &[1, 2, 9, 1, 2]).await;
    let mut answered = Vec::new();
    for _ in 0..5 {
        let reply = next(&mut replies).await;
        assert!(reply.header.is_some());
        answered.push((reply.id, reply.ttl));
    }
    assert_eq!(answered, [(1, 60), (2, 70), (9, 0), (1, 60), (2, 70)]);
}

async fn keep_alive_of_an_unknown_lease_says_zero(node: Node) {
    node.grant(7, 60).await;
    revoke(&node, 7).await.unwrap();
    for id in [7, 8, 0] {
        let reply = next(&mut keep_alive(&node, &[id]).await).await;
        assert_eq!((reply.id, reply.ttl), (id, 0));
    }
}

/// Instead of sleeping, the test queries the lease until one second of it has passed.
async fn keep_alive_restores_the_ttl(node: Node) {
    node.grant(7, 600).await;
    harness::eventually("a second to pass", || async {
        (time_to_live(&node, 7).await.ttl < 599).then_some(())
    })
    .await;
    let reply = next(&mut keep_alive(&node, &[7]).await).await;
    assert_eq!(reply.ttl, 600);
    assert!(time_to_live(&node, 7).await.ttl >= 599);
}

async fn time_to_live_counts_down_from_the_grant(node: Node) {
    node.grant(7, 600).await;
    let reply = time_to_live(&node, 7).await;
    assert_eq!((reply.id, reply.granted_ttl), (7, 600));
    assert!((598..=600).contains(&reply.ttl), "{}", reply.ttl);
    assert!(reply.keys.is_empty());
}

async fn time_to_live_of_an_unknown_lease_says_minus_one(node: Node) {
    let reply = time_to_live(&node, 7).await;
    assert_eq!((reply.id, reply.ttl, reply.granted_ttl), (7, -1, 0));
    assert!(reply.keys.is_empty());
    assert_eq!(revision_of(&reply.header), 1);
}

async fn all_leases_are_listed(node: Node) {
    for id in [30, 10, 20] {
        node.grant(id, 60 + id).await;
    }
    assert_eq!(ids(&node).await, [10, 20, 30], "ordered by when they end");
    revoke(&node, 10).await.unwrap();
    assert_eq!(ids(&node).await, [20, 30]);
}

async fn equal_leases_are_listed_in_the_order_of_their_grants(node: Node) {
    let granted: Vec<i64> = (1..=20).map(|step| (step * 7) % 20 + 1).collect();
    for &id in &granted {
        grant(&node, id, 600).await.unwrap();
    }
    assert_eq!(ids(&node).await, granted);
}

async fn an_empty_list_is_a_list(node: Node) {
    assert!(ids(&node).await.is_empty());
}

async fn a_negative_id_is_an_id(node: Node) {
    let reply = grant(&node, -3, 60).await.unwrap();
    assert_eq!((reply.id, reply.ttl), (-3, 60));
    node.put_with(put_leased("a", "1", -3)).await;
    assert_eq!(node.get("a").await.unwrap().lease, -3);
    revoke(&node, -3).await.unwrap();
    assert_eq!(node.get("a").await, None);
}

async fn grant(node: &Node, id: i64, ttl: i64) -> Result<LeaseGrantResponse, Status> {
    Ok(node
        .leases()
        .lease_grant(LeaseGrantRequest { id, ttl })
        .await?
        .into_inner())
}

async fn revoke(node: &Node, id: i64) -> Result<(), Status> {
    node.leases()
        .lease_revoke(LeaseRevokeRequest { id })
        .await
        .map(drop)
}

async fn time_to_live(node: &Node, id: i64) -> LeaseTimeToLiveResponse {
    let request = LeaseTimeToLiveRequest { id, keys: false };
    node.leases()
        .lease_time_to_live(request)
        .await
        .unwrap()
        .into_inner()
}

async fn ids(node: &Node) -> Vec<i64> {
    let reply = node
        .leases()
        .lease_leases(LeaseLeasesRequest {})
        .await
        .unwrap()
        .into_inner();
    reply.leases.iter().map(|lease| lease.id).collect()
}

/// One stream with these requests on it.
async fn keep_alive(node: &Node, ids: &[i64]) -> Streaming<LeaseKeepAliveResponse> {
    let requests: Vec<_> = ids.iter().map(|&id| LeaseKeepAliveRequest { id }).collect();
    let mut stub = node.leases();
    let stream = stub.lease_keep_alive(tokio_stream::iter(requests));
    within("a keep-alive stream", stream)
        .await
        .unwrap()
        .into_inner()
}

async fn next(replies: &mut Streaming<LeaseKeepAliveResponse>) -> LeaseKeepAliveResponse {
    let reply = within("a keep-alive", replies.message()).await;
    let ended = || Status::new(Code::Aborted, "the stream ended");
    reply.and_then(|reply| reply.ok_or_else(ended)).unwrap()
}
