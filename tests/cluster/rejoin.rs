//! Members that were down while the membership changed, and restart with an outdated membership.

use harness::{Cluster, eventually};

use crate::not_on_etcd;

/// Allows changes before members have been up for five seconds.
const AT_ONCE: &[&str] = &["--strict-reconfig-check=false"];

/// Runs a test on a fresh cluster of three, without faults of links.
fn on_three<F: Future<Output = ()>>(flags: &[&str], test: impl FnOnce(Cluster) -> F) {
    harness::run(async {
        let mut cluster = Cluster::prepare(3, flags, "a-test");
        cluster.network().open();
        cluster.start_all().await;
        test(cluster).await;
    });
}

/// Waits until a member has a value that was put while it was down.
async fn catches_up(cluster: &Cluster, number: usize, value: &str) {
    eventually(&format!("member {number} to catch up"), || async {
        let found = cluster.local(number, "a").await.ok().flatten();
        (found.as_deref() == Some(value)).then_some(())
    })
    .await;
}

/// The leader is not in its outdated membership. It catches up under that leader, and logs that it
/// accepts messages from an unlisted member.
#[test]
fn under_a_leader_that_joined_meanwhile() {
    on_three(&[], |mut cluster| async move {
        let why = "it adds no learner while one of three is down";
        if not_on_etcd(&cluster, why) {
            return;
        }
        let leader = cluster.leader().await;
        let away = cluster.others(leader)[0];
        cluster.kill(away);
        let joined = cluster.add_learner(leader).await;
        cluster.promote(leader, joined).await;
        cluster.move_leader(joined).await;
        cluster.put(joined, "a", "1").await;
        cluster.restart(away);
        cluster.wait_writable(&[away]).await;
        catches_up(&cluster, away, "1").await;
        assert_eq!(cluster.leader().await, joined);
        let said = "that this one does not know yet is answered";
        let lines = cluster.child(away).lines();
        let count = lines.iter().filter(|line| line.contains(said)).count();
        assert_eq!(count, 1, "{lines:#?}");
        cluster.expect_same_history().await;
    });
}

/// All members it knows are gone. The present members know it, and that is enough.
#[test]
fn when_all_others_were_replaced() {
    on_three(AT_ONCE, |mut cluster| async move {
        let away = 0;
        cluster.kill(away);
        for old in [1, 2] {
            let through = cluster.alive()[0];
            let new = cluster.add(through).await;
            cluster.remove(new, old).await;
        }
        let others = cluster.others(away);
        cluster.put(others[0], "a", "1").await;
        cluster.restart(away);
        cluster.wait_writable(&[away]).await;
        catches_up(&cluster, away, "1").await;
        // It counts as a voter: with it the cluster survives the loss of one.
        cluster.kill(others[0]);
        cluster.wait_writable(&[away, others[1]]).await;
    });
}

/// Two members were down at different times. Neither knows the third, whose majority needs both,
/// and neither knows that the other has learned of it.
#[test]
fn two_that_were_away_elect_a_third_that_they_do_not_know() {
    on_three(AT_ONCE, |mut cluster| async move {
        cluster.kill(0);
        for _ in 0..2 {
            cluster.add(2).await;
        }
        cluster.kill(1);
        let newest = cluster.add(3).await;
        cluster.remove(newest, 2).await;
        cluster.put(newest, "a", "1").await;
        catches_up(&cluster, newest, "1").await;
        cluster.kill(3);
        cluster.kill(4);
        for number in [0, 1] {
            cluster.respawn(number);
        }
        cluster.wait_writable(&[newest, 0, 1]).await;
        catches_up(&cluster, 0, "1").await;
        assert_eq!(cluster.leader().await, newest);
    });
}

/// Every member, the returning one included, has a new peer URL when it comes back.
#[test]
fn when_all_have_moved() {
    on_three(AT_ONCE, |mut cluster| async move {
        let away = 0;
        cluster.kill(away);
        for number in cluster.numbers() {
            cluster.readdress(1, number).await;
        }
        // The restarts close the connections made by the old URLs.
        for number in [1, 2] {
            cluster.terminate(number);
            cluster.restart(number);
        }
        cluster.put(1, "a", "1").await;
        cluster.restart(away);
        cluster.wait_writable(&[away]).await;
        catches_up(&cluster, away, "1").await;
        cluster.kill(1);
        cluster.wait_writable(&[away, 2]).await;
    });
}

/// A learner that was promoted while it was down votes when it comes back.
#[test]
fn a_learner_that_was_promoted_meanwhile() {
    on_three(AT_ONCE, |mut cluster| async move {
        let learner = cluster.add_learner(0).await;
        cluster.put(0, "a", "1").await;
        catches_up(&cluster, learner, "1").await;
        cluster.kill(learner);
        cluster.promote(0, learner).await;
        // Three of four voters are needed, and one of them is the learner that does not know of its
        // promotion.
        cluster.kill(1);
        cluster.respawn(learner);
        cluster.wait_writable(&[0, 2, learner]).await;
    });
}

/// Its data was lost while all its fellow founders were replaced. At its start it reaches none of
/// them, and is contacted by members it does not know: they know that it has run before, and it
/// asks them before it answers.
#[test]
fn an_emptied_directory_is_refused_by_members_that_joined_meanwhile() {
    on_three(AT_ONCE, |mut cluster| async move {
        if not_on_etcd(&cluster, "it becomes a member again") {
            return;
        }
        let victim = 0;
        cluster.kill(victim);
        cluster.wipe(victim);
        for old in [1, 2] {
            let through = cluster.alive()[0];
            let new = cluster.add(through).await;
            cluster.remove(new, old).await;
        }
        cluster.respawn(victim);
        let child = cluster.child(victim);
        let said = child.line("has already been bootstrapped");
        assert!(said.is_some(), "{:#?}", child.lines());
        assert!(!child.wait().success());
        let through = cluster.others(victim)[0];
        cluster.put(through, "a", "1").await;
    });
}
