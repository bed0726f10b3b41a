//! Clusters of three members: clients may use any member, and do not notice when the leader is cut
//! off while their command is in flight.

use conclave_proto::command::Member;
use conclave_proto::command::member_change::Change;
use conclave_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use conclave_proto::etcdserverpb::request_op::Request;
use conclave_proto::etcdserverpb::{Compare, RequestOp, TxnRequest};
use conclave_proto::peer::parcel::Content;
use conclave_proto::peer::{Forward, Parcel};

use tokio::task::JoinHandle;

use super::network::{Cluster, eventually, id, stands};
use super::*;
use crate::leader_queries;

/// Timeouts short enough for a test, and long enough for a busy machine.
pub(super) fn quick() -> Settings {
    Settings {
        heartbeat_interval: Duration::from_millis(20),
        election_timeout: Duration::from_millis(400),
        ..settings()
    }
}

/// A key's version and value.
async fn version(handle: &Handle, key: &str) -> (i64, Bytes) {
    handle.linearize().await.expect("there is a leader");
    let key = Bytes::copy_from_slice(key.as_bytes());
    let answer = handle.reader().range(&RangeRequest {
        key,
        ..RangeRequest::default()
    });
    let kvs = answer.expect("readable").kvs;
    let kv = kvs.first().expect("it was put");
    (kv.version, kv.value.clone())
}

/// Puts many keys concurrently. Each task returns its revision.
fn puts(handle: &Handle, name: &'static str) -> Vec<JoinHandle<i64>> {
    let one = |n: usize| {
        let handle = handle.clone();
        tokio::spawn(async move {
            let reply = handle.propose(put(&format!("{name}{n}"), "v")).await;
            let header = reply.expect("acknowledged").header;
            header.expect("filled").revision
        })
    };
    (0..50).map(one).collect()
}

/// Requests the removal of a member through another, or through itself.
fn remove(through: &Handle, gone: &Handle) -> JoinHandle<Result<Vec<Member>, ProposeError>> {
    let (through, gone) = (through.clone(), id(gone));
    tokio::spawn(async move { through.propose_change(Change::Remove(gone.0)).await })
}

/// A transaction that puts a key if it does not exist.
fn create(key: &'static str) -> TxnRequest {
    let key = Bytes::from_static(key.as_bytes());
    let put = PutRequest {
        key: key.clone(),
        ..PutRequest::default()
    };
    TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Version as i32,
            key,
            range_end: Bytes::new(),
            target_union: Some(TargetUnion::Version(0)),
        }],
        success: vec![RequestOp {
            request: Some(Request::RequestPut(put)),
        }],
        failure: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_takes_commands_and_answers_reads() {
    let cluster = Cluster::start(3, quick());
    cluster.leader(Term::NONE).await;
    for (n, member) in (1..).zip(cluster.members()) {
        let put = put("k", format!("{n}"));
        let reply = member.propose(put).await.expect("acknowledged");
        let header = reply.header.expect("filled");
        assert_eq!((header.member_id, header.revision), (id(member).0, 1 + n));
        for reading in cluster.members() {
            assert_eq!(version(reading, "k").await, (n, format!("{n}").into()));
        }
    }
    cluster.stop().await;
}

/// Every member has to apply every log entry: an entry that cannot be decoded would end all
/// members, at each start again.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_member_knows_does_not_get_into_the_log() {
    let cluster = Cluster::start(3, quick());
    let leader = cluster.leader(Term::NONE).await;
    let follower = cluster.others(leader)[0];
    let forward = Forward {
        term: leader.status().term.0,
        commands: vec![Bytes::from_static(b"nonsense")],
        ..Forward::default()
    };
    let content = Some(Content::Forward(forward));
    let (from, to) = (id(follower), id(leader));
    cluster.network.deliver(from, to, Parcel { content });
    let put = put("k", "v");
    follower.propose(put).await.expect("the others go on");
    for member in cluster.members() {
        assert_eq!(version(member, "k").await.0, 1);
    }
    cluster.stop().await;
}

/// The isolated leader's commands are only in its log; those of a follower were forwarded to it and
/// are in no log. Each is applied once, and the clients notice nothing but the delay.
#[tokio::test(flavor = "multi_thread")]
async fn commands_pending_when_the_leader_is_cut_off_come_to_pass_once() {
    let cluster = Cluster::start(3, quick());
    let old = cluster.leader(Term::NONE).await;
    let term = old.status().term;
    cluster.network.cut_off(id(old));
    let on_leader = puts(old, "leader");
    let on_follower = puts(cluster.others(old)[0], "follower");

    let new = cluster.leader(term).await;
    assert_ne!(id(new), id(old));
    let mut revisions = Vec::new();
    for put in on_follower {
        revisions.push(put.await.expect("answered"));
    }
    stands(old, |raft_status| !raft_status.is_leader).await;
    assert!(on_leader.iter().all(|put| !put.is_finished()));
    cluster.network.heal();
    for put in on_leader {
        revisions.push(put.await.expect("answered"));
    }

    revisions.sort_unstable();
    assert!(revisions.iter().copied().eq(2..102), "{revisions:?}");
    for member in cluster.members() {
        for n in 0..50 {
            assert_eq!(version(member, &format!("leader{n}")).await.0, 1);
            assert_eq!(version(member, &format!("follower{n}")).await.0, 1);
        }
    }
    cluster.stop().await;
}

/// Applied twice, the transaction would fail the second time, and the client would get that result
/// and assume that another client had created the key.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_that_of_the_one_time_it_was_applied() {
    let cluster = Cluster::start(3, quick());
    let old = cluster.leader(Term::NONE).await;
    let term = old.status().term;
    cluster.network.cut_off(id(old));
    let creating = {
        let old = old.clone();
        tokio::spawn(async move { old.propose(create("once")).await })
    };
    cluster.leader(term).await;
    cluster.network.heal();
    let reply = creating.await.expect("no panic").expect("it is answered");
    assert!(reply.succeeded);
    assert_eq!(version(old, "once").await.0, 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_on_a_leader_cut_off_waits_and_then_sees_what_was_written_meanwhile() {
    let cluster = Cluster::start(3, quick());
    let old = cluster.leader(Term::NONE).await;
    old.propose(put("k", "old")).await.expect("acknowledged");
    let term = old.status().term;
    cluster.network.cut_off(id(old));
    let reading = {
        let old = old.clone();
        tokio::spawn(async move {
            old.linearize().await.expect("healed in time");
            get(&old, "k")
        })
    };
    let new = cluster.leader(term).await;
    new.propose(put("k", "new")).await.expect("acknowledged");
    assert!(!reading.is_finished());
    assert_eq!(get(old, "k").as_deref(), Some(&b"old"[..]));
    cluster.network.heal();
    let read = reading.await.expect("no panic");
    assert_eq!(read.as_deref(), Some(&b"new"[..]));
    cluster.stop().await;
}

/// The next leader removes it, so the others need not wait for an election timeout, and no client
/// that waits for its answer runs into its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_hands_over_and_keeps_nobody_waiting() {
    let mut cluster = Cluster::start(3, quick());
    let old = cluster.leader(Term::NONE).await.clone();
    // One of the others has acknowledged an entry of this leader's: before that it knows no member
    // to transfer leadership to.
    old.propose(put("k", "v")).await.expect("acknowledged");
    let term = old.status().term;
    let writing: Vec<_> = (0..50)
        .map(|n| {
            let old = old.clone();
            tokio::spawn(async move { old.propose(put(&format!("k{n}"), "v")).await })
        })
        .collect();
    let removal = remove(&old, &old);
    old.stopping().cancelled().await;
    assert!(old.status().term > term, "the removal is of the next term");
    let ended = cluster.take(id(&old)).stop().await;
    assert!(matches!(ended, Err(FatalError::Removed)), "{ended:?}");
    match removal.await.expect("no panic") {
        Ok(members) => assert_eq!(members.len(), 2),
        // The others went on without it, and informed it of its removal when it contacted them.
        Err(ProposeError::Unknown(Unknown(ApiError::Stopped))) => {}
        other => panic!("{other:?}"),
    }
    for put in writing {
        match put.await.expect("no panic") {
            Ok(_)
            | Err(ProposeError::Refused(Refused(ApiError::Stopped)))
            | Err(ProposeError::Unknown(Unknown(ApiError::Stopped))) => {}
            other => panic!("{other:?}"),
        }
    }
    let new = cluster.leader(term).await;
    new.propose(put("after", "v"))
        .await
        .expect("two are enough");
    cluster.stop().await;
}

/// It stays leader in the same term, and entries it has not applied yet were acknowledged by the
/// other.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_becomes_the_only_voter_reads_what_the_other_acknowledged() {
    let mut cluster = Cluster::start(2, quick());
    let leader = cluster.leader(Term::NONE).await.clone();
    let other = cluster.others(&leader)[0].clone();
    let state = cluster.disks(&leader).state.clone();
    leader.propose(put("k", "1")).await.expect("acknowledged");
    state.hold_writes(true);
    other.propose(put("k", "2")).await.expect("acknowledged");
    let removal = remove(&leader, &other);
    stands(&leader, |raft_status| raft_status.is_sole_voter).await;
    let read = tokio::time::timeout(Duration::ZERO, leader.linearize()).await;
    assert!(read.is_err(), "it has not applied what it would read");
    state.hold_writes(false);
    assert_eq!(version(&leader, "k").await, (2, "2".into()));
    removal.await.expect("no panic").expect("it is made");
    // It may have learned of its removal.
    let _ = cluster.take(id(&other)).stop().await;
    cluster.stop().await;
}

/// The old leader finds that the lease has expired and proposes its revocation, which is in its log
/// when the new leader renews the lease. After the partition heals, it proposes the revocation
/// again, which must have no effect.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_leader_ends_no_lease_that_the_new_one_renewed() {
    let cluster = Cluster::start(3, quick());
    let old = cluster.leader(Term::NONE).await;
    let term = old.status().term;
    assert_eq!(grant(old, 7, 2).await, (7, 2));
    eventually("the lease's last moments", || {
        let ends = old.leases().ends_at(LeaseId(7))?;
        let left = ends.since(old.clock().now());
        (left < Duration::from_millis(100)).then_some(())
    })
    .await;
    cluster.network.cut_off(id(old));
    // On a slow machine it may no longer be leader by then. The test then covers less, but nothing
    // is wrong.
    eventually("the revocation", || {
        let status = old.status();
        (status.proposals_in_flight > 0 || !status.is_leader).then_some(())
    })
    .await;

    let new = cluster.leader(term).await;
    let renewed = leader_queries::keep_alive(new, LeaseId(7)).await;
    assert_eq!(renewed.expect("it leads"), Some(2));
    cluster.network.heal();
    eventually("the verdict on the old revocation", || {
        let status = old.status();
        (status.leader == id(new) && status.proposals_in_flight == 0).then_some(())
    })
    .await;
    for member in cluster.members() {
        member.linearize().await.expect("there is a leader");
        let lease = member.reader().lease(LeaseId(7)).expect("readable");
        assert!(lease.is_some());
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_with_a_checkpoint_does_not_begin_anew_with_a_new_leader() {
    let cluster = Cluster::start(
        3,
        Settings {
            lease_checkpoint_interval: Some(Duration::from_millis(1500)),
            ..quick()
        },
    );
    let old = cluster.leader(Term::NONE).await;
    let term = old.status().term;
    assert_eq!(grant(old, 7, 60).await, (7, 60));
    assert_eq!(grant(old, 8, 60).await, (8, 60));
    let successor = cluster.others(old)[0];
    eventually("checkpoints", || {
        let record = |id| successor.reader().lease(LeaseId(id)).expect("readable");
        let noted = |id| record(id).is_some_and(|lease| lease.remaining_seconds != 0);
        (noted(7) && noted(8)).then_some(())
    })
    .await;
    // Renewed through a member that is not the leader. The revocation mark is gone before the
    // answer arrives, or a new one was made since.
    let renewed = leader_queries::keep_alive(successor, LeaseId(8)).await;
    assert_eq!(renewed.expect("there is a leader"), Some(60));
    let lease = old.reader().lease(LeaseId(8)).expect("readable");
    let left = lease.expect("it was renewed").remaining_seconds;
    assert!(left == 0 || left >= 59, "{left}");

    let transferred = old.transfer_leadership(Some(id(successor))).await;
    transferred.expect("it follows closely");
    let new = cluster.leader(term).await;
    let left = async |id| {
        let left = leader_queries::time_to_live(new, LeaseId(id)).await;
        left.expect("there is a leader").expect("it lives")
    };
    let not_renewed = left(7).await;
    assert_eq!(not_renewed.granted_seconds, 60);
    assert!(not_renewed.ttl_seconds < 60);
    assert!(left(8).await.ttl_seconds >= not_renewed.ttl_seconds);
    cluster.stop().await;
}

/// A state that is slow to write must not block the leader's thread: its heartbeats would stop. The
/// queue in front of the state is limited all the same, and nothing in it is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_state_is_slow_still_leads() {
    let cluster = Cluster::start(3, quick());
    let leader = cluster.leader(Term::NONE).await;
    let term = leader.status().term;
    let state = cluster.disks(leader).state.clone();
    state.hold_writes(true);
    let fills = limits::APPLY_QUEUE_BATCHES_MAX + limits::APPLY_BACKLOG_BATCHES_MAX;
    let mut writing = Vec::new();
    for n in 0..fills + 50 {
        let before = leader.status().committed_index;
        let proposer = leader.clone();
        let one = async move { proposer.propose(put(&format!("slow{n}"), "v")).await };
        writing.push(tokio::spawn(one));
        // One by one, so that each is an entry and a batch; the last ones are held back.
        if n < fills {
            eventually("it is committed", || {
                (leader.status().committed_index > before).then_some(())
            })
            .await;
        }
    }
    let looked = tokio::time::timeout(Duration::from_secs(10), leader.look(Node::raft_status));
    let raft_status = looked.await.expect("the driver is awake");
    assert!(raft_status.expect("it runs").is_leader);
    state.hold_writes(false);
    for put in writing {
        assert!(put.await.expect("no panic").is_ok());
    }
    assert_eq!(
        (leader.status().term, leader.status().is_leader),
        (term, true)
    );
    cluster.stop().await;
}
