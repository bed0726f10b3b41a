//! Pipelines: what is applied is what was proposed, in order, up to the end.

use conclave_proto::etcdserverpb::{RequestOp, TxnRequest};

use super::network::{Cluster, id, stands};
use super::*;
use crate::pipeline::{Pipeline, Proposed};

/// Short enough for a test, long enough for a machine with much to do.
fn quick() -> Settings {
    Settings {
        heartbeat_interval: Duration::from_millis(20),
        election_timeout: Duration::from_millis(400),
        ..settings()
    }
}

/// Begins a pipeline through a member, once that knows the leader.
async fn begin(member: &Handle) -> Pipeline {
    stands(member, |standing| standing.leader != MemberId::NONE).await;
    Pipeline::begin(member).expect("there is a leader")
}

/// Puts keys of this name, one after the other, without waiting for their outcomes.
async fn puts(pipeline: &mut Pipeline, name: &str, count: usize) -> Vec<Proposed<PutRequest>> {
    let mut proposed = Vec::new();
    for n in 0..count {
        let one = pipeline.propose(put(&format!("{name}{n}"), "v")).await;
        proposed.push(one.expect("it has a place"));
    }
    proposed
}

/// Which keys of this name there are.
async fn there(handle: &Handle, name: &str, count: usize) -> Vec<usize> {
    handle.linearize().await.expect("there is a leader");
    let is_there = |n: &usize| get(handle, &format!("{name}{n}")).is_some();
    (0..count).filter(is_there).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_applied_in_the_order_of_the_pipeline() {
    let cluster = Cluster::start(3, quick());
    let leader = cluster.leader(Term(0)).await;
    for (name, member) in [("leader", leader), ("other", cluster.others(leader)[0])] {
        let mut pipeline = begin(member).await;
        let mut last = 0;
        for proposed in puts(&mut pipeline, name, 50).await {
            let reply = proposed.outcome().await.expect("acknowledged");
            let revision = reply.header.expect("filled").revision;
            assert!(revision > last, "{revision} after {last}");
            last = revision;
        }
    }
    cluster.stop().await;
}

/// A command without a pipeline, which meets the same change of leader, is proposed again: behind
/// whatever could have been proposed again before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_ends_with_the_term_and_nothing_of_it_is_proposed_again() {
    let cluster = Cluster::start(3, quick());
    let old = cluster.leader(Term(0)).await;
    let term = old.status().term;
    let mut pipeline = begin(old).await;
    for proposed in puts(&mut pipeline, "before", 3).await {
        proposed.outcome().await.expect("acknowledged");
    }
    cluster.network.cut_off(id(old));
    let under_way = puts(&mut pipeline, "bound", 20).await;
    let free = {
        let old = old.clone();
        tokio::spawn(async move { old.propose(put("free", "v")).await })
    };
    cluster.leader(term).await;
    for proposed in under_way {
        let ended = proposed.outcome().await.expect_err("cut off");
        assert_eq!(ended.api_error(), ApiError::LeaderChanged);
        assert!(!matches!(ended, ProposeError::Rejected(_)));
    }
    let later = pipeline.propose(put("later", "v")).await;
    assert_eq!(later.err(), Some(Refused(ApiError::LeaderChanged)));

    cluster.network.heal();
    let free = free.await.expect("no panic");
    free.expect("proposed again");
    let mut next = begin(old).await;
    let after = next.propose(put("after", "v")).await.expect("in order");
    after.outcome().await.expect("acknowledged");
    for member in cluster.members() {
        assert_eq!(there(member, "before", 3).await, [0, 1, 2]);
        assert_eq!(there(member, "bound", 20).await, []);
        assert_eq!(get(member, "later"), None);
        assert!(get(member, "free").is_some() && get(member, "after").is_some());
    }
    cluster.stop().await;
}

/// The first command is lost on the way to a leader that is cut off. Without it, the second must
/// not be applied, whoever leads by then.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_lost_command_is_refused() {
    let cluster = Cluster::start(3, quick());
    let old = cluster.leader(Term(0)).await;
    let term = old.status().term;
    let other = cluster.others(old)[0];
    let mut pipeline = begin(other).await;
    cluster.network.cut_off(id(old));
    let first = pipeline.propose(put("first", "v")).await.expect("in order");
    let second = pipeline.propose(put("second", "v")).await;
    assert_eq!(second.err(), Some(Refused(ApiError::LeaderChanged)));
    let first = first.outcome().await;
    assert_eq!(first, Err(Unknown(ApiError::LeaderChanged).into()));

    let new = cluster.leader(term).await;
    cluster.network.heal();
    new.propose(put("after", "v")).await.expect("acknowledged");
    for member in cluster.members() {
        member.linearize().await.expect("there is a leader");
        assert_eq!((get(member, "first"), get(member, "second")), (None, None));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_ends_the_pipeline_unless_space_is_short() {
    let disks = Disks::default();
    let member = disks.start_with(Settings {
        quota_bytes: Some(EMPTY_STORE_BYTES + 10_000),
        max_request_bytes: 20_000,
        ..settings()
    });
    let mut pipeline = begin(member.handle()).await;
    let dear = pipeline.propose(put("k", vec![0; 15_000])).await;
    assert_eq!(dear.err(), Some(Refused(ApiError::NoSpace)));
    let delete = DeleteRangeRequest {
        key: Bytes::from_static(b"k"),
        ..Default::default()
    };
    let cheap = pipeline.propose(delete).await.expect("it is still open");
    assert_eq!(cheap.outcome().await.expect("applied").deleted, 0);

    let large = TxnRequest {
        failure: vec![RequestOp::default(); 11_000],
        ..TxnRequest::default()
    };
    let large = pipeline.propose(large).await;
    assert_eq!(large.err(), Some(Refused(ApiError::RequestTooLarge)));
    let later = pipeline.propose(put("k", "")).await;
    assert_eq!(later.err(), Some(Refused(ApiError::LeaderChanged)));
    member.stop().await.expect("no fault");
}
