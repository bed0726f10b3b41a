//! Membership changes at a cluster of one; the tier `cluster` tests those that need other members.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb as pb;
use harness::{Node, http1, refused};

suite![
    urls_must_be_urls,
    urls_must_be_what_members_dial => "3.4 only looks for a colon in the right place",
    a_url_is_of_one_member,
    one_learner_at_a_time => "3.4 has another text",
    more_learners_if_the_flag_says_so["--max-learners=2"] => "the flag came with 3.6",
    a_learner_that_never_came_is_not_promoted,
    who_is_not_there_cannot_be_changed,
    a_learner_comes_and_goes,
    the_last_member_stays => "3.4 removes the last member",
    leadership_goes_to_voters_only => "3.4 waits until the request times out",
];

/// An address without a listener.
const NOWHERE: &str = "http://127.0.0.1:9";

async fn urls_must_be_urls(node: Node) {
    for urls in [&[][..], &["somewhere"], &[NOWHERE, "ftp://a:1"]] {
        let added = node.cluster().member_add(learner(urls)).await;
        refused(added, ApiError::MemberBadURLs);
    }
}

/// URLs that the flags of the new member would refuse.
async fn urls_must_be_what_members_dial(node: Node) {
    let id = add(&node, NOWHERE).await.id;
    for urls in [
        &["unix:///run/peer.sock"][..],
        &["unix://localhost:9"],
        &["http://127.0.0.1:10", "unix://localhost:9"],
        &["http://:9"],
        &["http://127.0.0.1:10", "http://127.0.0.1:10"],
    ] {
        let added = node.cluster().member_add(learner(urls)).await;
        refused(added, ApiError::MemberBadURLs);
        let peer_urls = learner(urls).peer_urls;
        let update = pb::MemberUpdateRequest { id, peer_urls };
        let updated = node.cluster().member_update(update).await;
        refused(updated, ApiError::MemberBadURLs);
    }
    let urls = members(&node).await.into_iter().map(|m| m.peer_urls);
    assert!(urls.flatten().any(|url| url == NOWHERE));
}

async fn a_url_is_of_one_member(node: Node) {
    let own = members(&node).await[0].peer_urls.clone();
    let urls: Vec<&str> = own.iter().map(String::as_str).collect();
    let added = node.cluster().member_add(learner(&urls)).await;
    refused(added, ApiError::PeerURLExist);
}

async fn one_learner_at_a_time(node: Node) {
    add(&node, NOWHERE).await;
    let second = node
        .cluster()
        .member_add(learner(&["http://127.0.0.1:10"]))
        .await;
    refused(second, ApiError::TooManyLearners);
}

async fn more_learners_if_the_flag_says_so(node: Node) {
    add(&node, NOWHERE).await;
    add(&node, "http://127.0.0.1:10").await;
    assert_eq!(members(&node).await.len(), 3);
}

async fn a_learner_that_never_came_is_not_promoted(node: Node) {
    let id = add(&node, NOWHERE).await.id;
    let promoted = node
        .cluster()
        .member_promote(pb::MemberPromoteRequest { id })
        .await;
    refused(promoted, ApiError::LearnerNotReady);
    let reason = ApiError::LearnerNotReady.text();
    let series = format!(r#"etcd_server_learner_promote_failures{{Reason="{reason}"}}"#);
    let metrics = http1::get(node.address(), "/metrics").await;
    assert_eq!(metrics.metric(&series), Some(1.0));
    assert!(
        members(&node)
            .await
            .iter()
            .any(|m| m.id == id && m.is_learner)
    );
}

async fn who_is_not_there_cannot_be_changed(node: Node) {
    let mut stub = node.cluster();
    let (id, peer_urls) = (7, vec![NOWHERE.to_owned()]);
    let removed = stub.member_remove(pb::MemberRemoveRequest { id }).await;
    refused(removed, ApiError::MemberNotFound);
    let promoted = stub.member_promote(pb::MemberPromoteRequest { id }).await;
    refused(promoted, ApiError::MemberNotFound);
    let voter = members(&node).await[0].id;
    let promoted = stub
        .member_promote(pb::MemberPromoteRequest { id: voter })
        .await;
    refused(promoted, ApiError::MemberNotLearner);
    let updated = stub
        .member_update(pb::MemberUpdateRequest { id, peer_urls })
        .await;
    refused(updated, ApiError::MemberNotFound);
}

async fn a_learner_comes_and_goes(node: Node) {
    let added = add(&node, NOWHERE).await;
    assert!(added.is_learner && added.name.is_empty() && added.client_urls.is_empty());
    assert_eq!(added.peer_urls, [NOWHERE]);
    // A learner delays nothing.
    node.put("a", "1").await;
    let update = pb::MemberUpdateRequest {
        id: added.id,
        peer_urls: vec!["http://127.0.0.1:11".to_owned()],
    };
    let reply = node.cluster().member_update(update).await.unwrap();
    let moved = reply.into_inner().members.into_iter();
    let moved = moved.filter(|member| member.id == added.id);
    let urls: Vec<_> = moved.flat_map(|member| member.peer_urls).collect();
    assert_eq!(urls, ["http://127.0.0.1:11"]);
    let removal = pb::MemberRemoveRequest { id: added.id };
    let reply = node.cluster().member_remove(removal).await.unwrap();
    assert_eq!(reply.into_inner().members, members(&node).await);
    assert_eq!(members(&node).await.len(), 1);
    // The removal is permanent.
    let again = node.cluster().member_remove(removal).await;
    refused(again, ApiError::MemberNotFound);
    node.put("a", "2").await;
}

async fn the_last_member_stays(node: Node) {
    let id = members(&node).await[0].id;
    let removed = node
        .cluster()
        .member_remove(pb::MemberRemoveRequest { id })
        .await;
    refused(removed, ApiError::MemberNotEnoughStarted);
    node.put("a", "1").await;
}

async fn leadership_goes_to_voters_only(node: Node) {
    let mut stub = node.maintenance();
    let unknown = pb::MoveLeaderRequest { target_id: 7 };
    refused(
        stub.move_leader(unknown).await,
        ApiError::BadLeaderTransferee,
    );
    let target_id = add(&node, NOWHERE).await.id;
    let learner = pb::MoveLeaderRequest { target_id };
    refused(
        stub.move_leader(learner).await,
        ApiError::BadLeaderTransferee,
    );
}

fn learner(peer_urls: &[&str]) -> pb::MemberAddRequest {
    pb::MemberAddRequest {
        peer_urls: peer_urls.iter().map(|&url| url.to_owned()).collect(),
        is_learner: true,
    }
}

async fn add(node: &Node, url: &str) -> pb::Member {
    let added = node.cluster().member_add(learner(&[url])).await;
    added.unwrap().into_inner().member.expect("the new member")
}

async fn members(node: &Node) -> Vec<pb::Member> {
    let request = pb::MemberListRequest { linearizable: true };
    let listed = node.cluster().member_list(request).await;
    listed.unwrap().into_inner().members
}
