//! Adding and removing members.

use std::sync::Arc;
use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb as pb;
use harness::child::Child;
use harness::history::load::Size;
use harness::history::{Load, Recorder};
use harness::wait::eventually_by;
use harness::{Cluster, ServiceManager, eventually, fails, within};
use tonic::Code;

use crate::failover::follow_each;
use crate::{check_history, not_on_etcd, on_three};

pub(crate) const REMOVED: &str = "the member has been permanently removed from the cluster";

/// A cluster of one grows to three, each new member a learner first, while clients write to the
/// first.
#[test]
fn one_grows_to_three_under_load() {
    harness::run(async {
        let mut cluster = Cluster::start(1, &[]).await;
        let recorder = Arc::new(Recorder::default());
        let followers = follow_each(&cluster);
        let size = Size {
            clients: 4,
            keys: 5,
            seed: 5,
        };
        let load = Load::start(&cluster.endpoints(), size, &recorder);
        for _ in 0..2 {
            load.wait_for(50).await;
            let number = cluster.add_learner(0).await;
            let status = cluster.status(number).await.unwrap();
            assert!(status.is_learner, "{status:?}");
            cluster.promote(0, number).await;
            cluster.wait_writable(&[number]).await;
        }
        load.wait_for(50).await;
        load.stop().await;
        let members = cluster.list(2).await;
        assert!(members.len() == 3 && members.iter().all(|member| !member.is_learner));
        let promotions = "etcd_server_learner_promote_successes";
        assert_eq!(cluster.metric(0, promotions).await, 2.0);
        check_history(&cluster, &recorder, &followers).await;
        // The cluster now survives the loss of any one.
        let leader = cluster.leader().await;
        cluster.kill(leader);
        cluster.wait_writable(&cluster.alive()).await;
    });
}

/// Each founder is replaced by a new member; at the end no founder is left, and all data is.
#[test]
fn each_member_is_replaced_under_load() {
    on_three(&[], |mut cluster| async move {
        let recorder = Arc::new(Recorder::default());
        let size = Size {
            clients: 3,
            keys: 5,
            seed: 6,
        };
        for old in 0..3 {
            let through = cluster.others(old)[0];
            let endpoints: Vec<_> = cluster.others(old);
            let endpoints: Vec<_> = endpoints
                .iter()
                .map(|&n| cluster.endpoint(n).to_owned())
                .collect();
            let load = Load::start(&endpoints, size, &recorder);
            load.wait_for(30).await;
            cluster.remove(through, old).await;
            let line = cluster.child(old).line(REMOVED);
            assert!(line.is_some(), "{:#?}", cluster.child(old).lines());
            assert!(cluster.child(old).wait().success());
            load.wait_for(30).await;
            let new = cluster.add(through).await;
            cluster.wait_writable(&[new]).await;
            load.stop().await;
        }
        assert_eq!(cluster.numbers(), [3, 4, 5]);
        check_history(&cluster, &recorder, &[]).await;
    });
}

/// The removed member may be the leader, and it may be down when it is removed.
#[test]
fn a_removed_member_ends_whenever_it_learns_of_it() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let others = cluster.others(leader);
        cluster.kill(others[0]);
        cluster.remove(leader, others[0]).await;
        cluster.respawn(others[0]);
        let line = cluster.child(others[0]).line(REMOVED);
        assert!(line.is_some(), "{:#?}", cluster.child(others[0]).lines());
        assert!(cluster.child(others[0]).wait().success());
        expect_no_new_start(&mut cluster, others[0]);
        cluster.remove(others[1], leader).await;
        assert!(cluster.child(leader).line(REMOVED).is_some());
        assert!(cluster.child(leader).wait().success());
        cluster.put(others[1], "a", "alone").await;
        // The logs of the remaining members explain the change.
        if !cluster.is_etcd() {
            let told = cluster.child(others[1]).lines();
            let removals = told
                .iter()
                .filter(|line| line.contains("a member was removed"));
            assert_eq!(removals.count(), 2, "{told:#?}");
        }
    });
}

/// The members that the removed one knows may be gone when it is started again, and then nobody
/// could confirm the removal once more.
#[test]
fn a_removed_member_remembers_that_a_voter_confirmed_it() {
    harness::run(async {
        let mut cluster = Cluster::start(3, &[]).await;
        let leader = cluster.leader().await;
        let others = cluster.others(leader);
        cluster.remove(leader, others[0]).await;
        assert!(cluster.child(others[0]).line(REMOVED).is_some());
        assert!(cluster.child(others[0]).wait().success());
        cluster.kill(leader);
        cluster.kill(others[1]);
        expect_no_new_start(&mut cluster, others[0]);
    });
}

/// Expects that the service manager was notified of readiness: systemd treats a process that exits
/// with success before that as failed, and would restart it.
fn expect_no_new_start(cluster: &mut Cluster, removed: usize) {
    if cluster.is_etcd() {
        return;
    }
    let manager = ServiceManager::new();
    let (program, arguments) = cluster.member(removed).command();
    let mut child = Child::spawn(program, &arguments, &manager.environment());
    assert!(child.wait().success(), "{:#?}", child.lines());
    let last = manager.hears_of("READY=1");
    assert!(
        last.starts_with("READY=1") && last.contains("STOPPING=1"),
        "{last}"
    );
}

/// The remaining member decides alone. (Removal of the leader is tested above.)
#[test]
fn the_follower_of_two_can_be_removed() {
    harness::run(async {
        let mut cluster = Cluster::start(2, &[]).await;
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        cluster.put(follower, "a", "1").await;
        cluster.remove(leader, follower).await;
        let line = cluster.child(follower).line(REMOVED);
        assert!(line.is_some(), "{:#?}", cluster.child(follower).lines());
        assert!(cluster.child(follower).wait().success());
        cluster.put(leader, "a", "2").await;
        assert_eq!(cluster.list(leader).await.len(), 1);
        // A restart of the lone member works, too.
        cluster.kill(leader);
        cluster.restart(leader);
        assert_eq!(
            cluster.get(leader, "a").await.unwrap().as_deref(),
            Some("2")
        );
    });
}

#[test]
fn a_learner_does_not_count_and_does_not_lead() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let learner = cluster.add_learner(leader).await;
        cluster.put(leader, "a", "1").await;
        let refused = within("a read", cluster.get(learner, "a")).await;
        // 3.4 returns another code than all later versions.
        let code = if cluster.is_etcd() {
            Code::Unavailable
        } else {
            Code::FailedPrecondition
        };
        fails(refused, code, "rpc not supported for learner");
        let read = harness::eventually("the learner to have it", || async {
            cluster.local(learner, "a").await.ok().flatten()
        });
        assert_eq!(read.await, "1");
        // A slow sync may have caused the election of another leader.
        let leader = cluster.leader().await;
        let target_id = cluster.id(leader, learner).await;
        let request = pb::MoveLeaderRequest { target_id };
        let moved = within(
            "a refusal",
            cluster.maintenance(leader).move_leader(request),
        )
        .await;
        fails(moved, Code::FailedPrecondition, "bad leader transferee");
    });
}

/// With one of three members down, a voter that has just restarted cannot be removed: one of the
/// two that would be left is down.
#[test]
fn a_voter_that_is_needed_is_not_removed() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let [down, back] = cluster.others(leader)[..] else {
            panic!("two others");
        };
        let id = cluster.id(leader, back).await;
        cluster.kill(down);
        cluster.kill(back);
        cluster.restart(back);
        cluster.wait_writable(&[back]).await;
        let mut stub = cluster.cluster(leader);
        let removed = stub.member_remove(pb::MemberRemoveRequest { id }).await;
        fails(removed, Code::Unavailable, "unhealthy cluster");
        assert_eq!(cluster.list(leader).await.len(), 3);
        cluster.restart(down);
    });
}

/// With one of four members down, the three that are up are a majority of five voters, so one may
/// be added. They are not a majority of six, so the next may not.
#[test]
fn a_voter_is_added_while_one_of_four_is_down() {
    harness::run(async {
        let mut cluster = Cluster::start(4, &[]).await;
        if not_on_etcd(&cluster, "3.4 requires all members to be up") {
            return;
        }
        let leader = cluster.leader().await;
        let down = cluster.others(leader)[0];
        cluster.kill(down);
        cluster.announce(leader, false).await;
        assert_eq!(cluster.list(leader).await.len(), 5);
        cluster.put(leader, "a", "1").await;
        let mut stub = cluster.cluster(leader);
        let added = stub.member_add(pb::MemberAddRequest {
            peer_urls: vec!["http://127.0.0.1:1".to_owned()],
            is_learner: false,
        });
        fails(added.await, Code::Unavailable, "unhealthy cluster");
        cluster.restart(down);
        cluster.wait_writable(&[down]).await;
    });
}

/// A process that hangs keeps its connections, but counts as down: a member that is needed for the
/// majority cannot be removed, and the hanging one can.
#[test]
fn a_member_that_hangs_is_down() {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(&cluster, "it counts a connected member as up") {
            return;
        }
        let leader = cluster.leader().await;
        let [hung, needed] = cluster.others(leader)[..] else {
            panic!("two others");
        };
        let (hung_id, needed_id) = (
            cluster.id(leader, hung).await,
            cluster.id(leader, needed).await,
        );
        // After this the members have been up for long enough to add a voter. That voter is never
        // started, and is removed at once.
        let never = cluster.announce(leader, false).await;
        cluster.remove(leader, never).await;
        let mut stub = cluster.cluster(leader);
        let remove = |id| pb::MemberRemoveRequest { id };
        cluster.pause(hung);
        let removed = stub.member_remove(remove(needed_id)).await;
        fails(removed, Code::Unavailable, "unhealthy cluster");
        let left = stub.member_remove(remove(hung_id)).await.unwrap();
        assert_eq!(left.into_inner().members.len(), 2);
        cluster.put(needed, "a", "1").await;
    });
}

/// `--strict-reconfig-check=false` disables the check.
#[test]
fn without_the_check_a_voter_that_is_needed_is_removed() {
    on_three(
        &["--strict-reconfig-check=false"],
        |mut cluster| async move {
            let leader = cluster.leader().await;
            let others = cluster.others(leader);
            let id = cluster.id(leader, others[1]).await;
            cluster.kill(others[0]);
            let mut stub = cluster.cluster(leader);
            let removed = stub.member_remove(pb::MemberRemoveRequest { id }).await;
            assert_eq!(removed.unwrap().into_inner().members.len(), 2);
        },
    );
}

/// A wrong URL must not separate the two members that have to agree on the right one.
#[test]
fn two_members_survive_a_mistyped_url() {
    harness::run(async {
        let cluster = Cluster::start(2, &[]).await;
        let why = "its members use connections that either side dialled, so the result varies";
        if not_on_etcd(&cluster, why) {
            return;
        }
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        let id = cluster.id(leader, follower).await;
        let right = cluster.list(leader).await;
        let right = right.into_iter().find(|member| member.id == id).unwrap();
        // No process listens there, ever.
        for urls in [vec!["http://127.0.0.1:9".to_owned()], right.peer_urls] {
            let peer_urls = urls.clone();
            let request = pb::MemberUpdateRequest { id, peer_urls };
            let mut stub = cluster.cluster(leader);
            within("an update", stub.member_update(request))
                .await
                .unwrap();
            for through in [follower, leader] {
                cluster.put(through, "a", &urls[0]).await;
            }
            let listed = cluster.list(follower).await;
            let listed = listed.into_iter().find(|member| member.id == id).unwrap();
            assert_eq!(listed.peer_urls, urls);
        }
        cluster.expect_same_history().await;
    });
}

/// With the flag a learner that is in sync is promoted automatically, but not before it has been up
/// for long enough.
#[test]
fn learners_are_promoted_by_themselves() {
    harness::run(async {
        let mut cluster = Cluster::prepare(1, &["--auto-promote-learners"], "promoting");
        if not_on_etcd(&cluster, "it has no such flag") {
            return;
        }
        cluster.start_all().await;
        let learner = cluster.add_learner(0).await;
        cluster.put(0, "a", "1").await;
        all_vote(&cluster).await;
        cluster.put(learner, "a", "2").await;
        // This learner is not up for long enough: promoting it could stop the others.
        let other = cluster.add_learner(0).await;
        eventually("the other to have it", || async {
            cluster.local(other, "a").await.ok().flatten()
        })
        .await;
        cluster.kill(other);
        let killed = Instant::now();
        let deadline = killed + Duration::from_secs(20);
        eventually_by(deadline, "the time a member needs to be up", || async {
            cluster.put(0, "a", "3").await;
            (killed.elapsed() > Duration::from_secs(6)).then_some(())
        })
        .await;
        let members = cluster.list(0).await;
        assert_eq!(members.iter().filter(|member| member.is_learner).count(), 1);
        // Once it is up for long enough, it is promoted.
        cluster.restart(other);
        all_vote(&cluster).await;
    });
}

/// Waits until the first member lists no learner.
async fn all_vote(cluster: &Cluster) {
    eventually("every learner to vote", || async {
        let members = cluster.list(0).await;
        let is_voter = |member: &pb::Member| !member.is_learner;
        members.iter().all(is_voter).then_some(())
    })
    .await;
}
