//! Members that must not be listened to.

use harness::{Cluster, eventually, within};

use crate::on_three;

/// What either server logs when a member of another cluster knocks.
const OF_ANOTHER_CLUSTER: [&str; 2] = ["cluster ID mismatch", "--initial-cluster-token"];

#[test]
fn a_member_with_another_token_is_refused() {
    harness::run(async {
        let mut cluster = Cluster::prepare(3, &[], "a-test");
        cluster.member(2).set_token("another-test");
        for number in 0..2 {
            cluster.respawn(number);
        }
        for number in 0..2 {
            cluster.member(number).expect_ready();
        }
        cluster.put(0, "a", "1").await;
        cluster.respawn(2);
        let mut said = |number: usize| {
            let lines = cluster.child(number).lines();
            let about = |line: &&String| OF_ANOTHER_CLUSTER.iter().any(|text| line.contains(text));
            lines.iter().find(about).cloned()
        };
        let mut tries = tokio::time::interval(std::time::Duration::from_millis(20));
        let found = async {
            loop {
                tries.tick().await;
                if let Some(line) = (0..3).find_map(&mut said) {
                    return line;
                }
            }
        };
        within("a word about it in a log", found).await;
        let ready = |line: &String| line.contains("ready to serve client requests");
        assert!(!cluster.child(2).lines().iter().any(ready), "it serves");
        // With the right token it is one of them.
        cluster.kill(2);
        cluster.wipe(2);
        cluster.member(2).set_token("a-test");
        cluster.restart(2);
        assert_eq!(cluster.get(2, "a").await.unwrap().as_deref(), Some("1"));
    });
}

/// A member that has forgotten everything it promised would promise it to others too.
#[test]
fn an_emptied_directory_is_refused() {
    on_three(&[], |mut cluster| async move {
        let leader = cluster.leader().await;
        let victim = cluster.others(leader)[0];
        cluster.put(victim, "a", "1").await;
        cluster.kill(victim);
        cluster.wipe(victim);
        cluster.respawn(victim);
        let line = cluster.child(victim).line("has already been bootstrapped");
        assert!(line.is_some(), "{:#?}", cluster.child(victim).lines());
        let status = cluster.child(victim).wait();
        assert!(!status.success(), "{status}");
        cluster.put(leader, "a", "2").await;
        // The way back is to be removed and added.
        cluster.remove(leader, victim).await;
        let new = cluster.add(leader).await;
        eventually("the new one to have it", || async {
            let value = cluster.local(new, "a").await.ok().flatten();
            (value.as_deref() == Some("2")).then_some(())
        })
        .await;
    });
}
