//! Random sequences of membership changes, while members are stopped and started.
//!
//! A restarted member must serve, whatever membership it knew when it was stopped. At the end every
//! member that was not removed serves, and the cluster survives the loss of as many as its size
//! allows. One member of every sequence stays away for most of it.
//!
//! `CONCLAVE_SEQUENCES=500` makes the run longer, `CONCLAVE_TEST_SEED` is the seed of the first
//! sequence; each further sequence has the next seed. A failing sequence prints its seed and its
//! [`plan`]; the seed with `CONCLAVE_SEQUENCES=1` repeats it alone. The seed decides the plan, not
//! how processes interleave.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use conclave_proto::etcdserverpb as pb;
use harness::{Cluster, eventually, variable};

use self::plan::{Plan, Step};

mod plan;

const SEQUENCES: u64 = 12;
const SEED: u64 = 1;
/// Number of concurrent sequences: members mostly wait for each other.
const SIDE_BY_SIDE: u64 = 4;

/// Allows changes before members have been up for five seconds: the plan ensures that the cluster
/// survives each change. The log is short, so that a member that was away needs a snapshot.
const FLAGS: &[&str] = &[
    "--strict-reconfig-check=false",
    "--snapshot-count=40",
    "--snapshot-catchup-entries=5",
];

#[test]
fn members_come_and_go_at_random() {
    let count = variable("CONCLAVE_SEQUENCES").unwrap_or(SEQUENCES);
    let seed = variable("CONCLAVE_TEST_SEED").unwrap_or(SEED);
    let next = AtomicU64::new(seed);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(count) {
            scope.spawn(|| {
                loop {
                    let seed_of_this = next.fetch_add(1, Ordering::Relaxed);
                    if seed_of_this >= seed + count {
                        return;
                    }
                    one(seed_of_this);
                }
            });
        }
    });
}

/// Prints the plan and the number of steps taken if the sequence fails.
struct Report<'a> {
    plan: &'a Plan,
    done: usize,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Report { plan, done } = self;
            eprintln!(
                "sequence {} failed after {done} steps of: {plan}",
                plan.seed
            );
        }
    }
}

fn one(seed: u64) {
    let plan = Plan::new(seed);
    let mut report = Report {
        plan: &plan,
        done: 0,
    };
    let begin = Instant::now();
    harness::run(async {
        let mut cluster = Cluster::prepare(plan.founders, FLAGS, "a-test");
        cluster.network().open();
        cluster.start_all().await;
        for (step, writer) in &plan.steps {
            take(&mut cluster, step, *writer).await;
            report.done += 1;
        }
        expect_whole(&mut cluster, &plan).await;
    });
    let took = begin.elapsed().as_secs_f32();
    eprintln!("sequence {seed}: {} steps in {took:.1} s", plan.steps.len());
}

async fn take(cluster: &mut Cluster, step: &Step, writer: usize) {
    match *step {
        Step::Add { through } => {
            cluster.add(through).await;
        }
        Step::AddLearner { through } => {
            cluster.add_learner(through).await;
        }
        Step::Promote { number, through } => cluster.promote(through, number).await,
        Step::Remove { number, through } => {
            let is_up = cluster.alive().contains(&number);
            cluster.remove(through, number).await;
            if is_up {
                let status = cluster.child(number).wait();
                assert!(status.success(), "a removed member ends with {status}");
            }
        }
        Step::Readdress { number, through } => cluster.readdress(through, number).await,
        Step::Kill { number } => cluster.kill(number),
        Step::Stop { number } => cluster.terminate(number),
        Step::Start { number } => start(cluster, number).await,
        Step::Lead { number } => lead(cluster, number).await,
        Step::Write { count } => {
            for _ in 0..count {
                cluster.put(writer, "a", "value").await;
            }
        }
        Step::Blackout { ref survivors } => blackout(cluster, survivors).await,
    }
    cluster.put(writer, "a", "value").await;
}

/// A member that reports itself as leader.
async fn find_leader(cluster: &Cluster) -> Option<usize> {
    for number in cluster.alive() {
        let Ok(status) = cluster.status(number).await else {
            continue;
        };
        let own = status.header.as_ref().map(|header| header.member_id);
        if own == Some(status.leader) {
            return Some(number);
        }
    }
    None
}

/// Transfers leadership to a member. (With a learner among them, a majority of the members may be
/// down.)
async fn lead(cluster: &Cluster, number: usize) {
    eventually(&format!("member {number} to lead"), || async {
        let leader = find_leader(cluster).await?;
        if leader != number {
            let target_id = cluster.id(leader, number).await;
            let request = pb::MoveLeaderRequest { target_id };
            let _ = cluster.maintenance(leader).move_leader(request).await;
        }
        (leader == number).then_some(())
    })
    .await;
}

/// Starts a member, which must serve under the present leader.
async fn start(cluster: &mut Cluster, number: usize) {
    cluster.restart(number);
    let status = eventually("a status", || async { cluster.status(number).await.ok() }).await;
    if !status.is_learner {
        cluster.wait_writable(&[number]).await;
    }
}

/// Kills all members and restarts a majority that may differ from the previous one. All members
/// that were up know the present membership.
async fn blackout(cluster: &mut Cluster, survivors: &[usize]) {
    let last = cluster.put(survivors[0], "a", "value").await;
    for number in cluster.alive() {
        eventually(&format!("member {number} to have {last}"), || async {
            (cluster.local_revision(number).await.ok()? >= last).then_some(())
        })
        .await;
    }
    for number in cluster.alive() {
        cluster.kill(number);
    }
    for &number in survivors {
        cluster.respawn(number);
    }
    for &number in survivors {
        cluster.member(number).expect_ready();
    }
}

async fn expect_whole(cluster: &mut Cluster, plan: &Plan) {
    for &number in &plan.down {
        start(cluster, number).await;
    }
    cluster.wait_writable(&plan.voters).await;
    cluster.expect_same_history().await;
    let members = cluster.list(plan.voters[0]).await;
    assert_eq!(members.len(), cluster.numbers().len(), "{members:?}");
    for &number in &plan.lost {
        cluster.kill(number);
    }
    let left = |number: &usize| !plan.lost.contains(number);
    let left: Vec<usize> = plan.voters.iter().copied().filter(left).collect();
    cluster.wait_writable(&left).await;
}
