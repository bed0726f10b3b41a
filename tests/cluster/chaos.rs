//! Random faults under random load, and a check of the complete history.
//!
//! In each round one fault (sometimes two) hits randomly chosen members, lasts until clients have
//! had enough answers under it or a time limit has passed, and is healed; then every member must
//! accept a write again. At the end the whole history is checked, and the state of all members.
//!
//! `CONCLAVE_CHAOS_ROUNDS=200` makes the run longer, `CONCLAVE_TEST_SEED` chooses another one. The
//! seed decides the faults and the clients' requests, not how processes and the network interleave:
//! the same seed gives the same plan, not the same run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::history::load::{PREFIX, Size};
use harness::history::sessions_load::{LEASES, TTL};
use harness::history::{self, Follower, Load, Recorder, Sessions, sessions};
use harness::wait::eventually_by;
use harness::{Cluster, api, variable};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::{check_history, not_on_etcd, on_three};

const ROUNDS: usize = 6;
const SEED: u64 = 1;
/// Number of answers to wait for under a fault.
const ANSWERS: usize = 100;
/// Longest wait for those answers: a fault may take the quorum.
const FAULT: Duration = Duration::from_millis(2500);
/// Low limits, so that some members need a snapshot after a short absence.
const FLAGS: &[&str] = &["--snapshot-count=500", "--snapshot-catchup-entries=100"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Terminate,
    Pause,
    Isolate,
    Silence,
    Deafen,
    KillAll,
    KillTwo,
    MoveLeader,
}

const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::Terminate,
    Fault::Pause,
    Fault::Isolate,
    Fault::Silence,
    Fault::Deafen,
    Fault::KillAll,
    Fault::KillTwo,
    Fault::MoveLeader,
];

#[test]
fn chaos() {
    let rounds = variable("CONCLAVE_CHAOS_ROUNDS").unwrap_or(ROUNDS as u64);
    let seed = variable("CONCLAVE_TEST_SEED").unwrap_or(SEED);
    eprintln!("chaos: {rounds} rounds of seed {seed}");
    on_three(FLAGS, |cluster| run(cluster, rounds, seed));
}

async fn run(mut cluster: Cluster, rounds: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let recorder = Arc::new(Recorder::default());
    let followers = watchers(&cluster);
    let leases = [
        Follower::start("leases", &cluster.endpoints(), LEASES, 1),
        Follower::start("leases too", &cluster.endpoints()[1..], LEASES, 1),
    ];
    let size = Size {
        clients: 6,
        keys: 6,
        seed,
    };
    let load = Load::start(&cluster.endpoints(), size, &recorder);
    let clients = Sessions::start(&cluster.endpoints(), 3, &recorder);
    let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
    for round in 0..rounds {
        let fault = *FAULTS.choose(&mut random).unwrap();
        *counts.entry(fault).or_default() += 1;
        eprintln!(
            "chaos: round {round}: {fault:?}, {} answers so far",
            load.answered()
        );
        one_round(&mut cluster, fault, &mut random, &load).await;
    }
    load.stop().await;
    clients.stop().await;
    let (done, refused, unknown) = recorder.counts();
    eprintln!("chaos: {rounds} rounds of {counts:?}");
    eprintln!("chaos: operations: {done} answered, {refused} refused, {unknown} unknown");
    eprintln!(
        "chaos: {} locks held, {} leases kept, watches resumed {} times",
        recorder.holds().len(),
        recorder.lives().len(),
        followers.iter().map(Follower::resumed).sum::<usize>(),
    );
    leases_end(&cluster).await;
    check_sessions(&cluster, &recorder, &leases);
    check_history(&cluster, &recorder, &followers).await;
    eprintln!("chaos: no violation");
}

/// One watcher per member, one that moves between members, and one that starts later.
fn watchers(cluster: &Cluster) -> Vec<Follower> {
    let mut followers = crate::failover::follow_each(cluster);
    let endpoints = cluster.endpoints();
    followers.push(Follower::start("watcher of all", &endpoints, PREFIX, 1));
    followers.push(Follower::start(
        "watcher of one key",
        &endpoints,
        "load/0",
        1,
    ));
    followers.push(Follower::start("watcher of later", &endpoints, PREFIX, 100));
    followers
}

async fn one_round(cluster: &mut Cluster, fault: Fault, random: &mut StdRng, load: &Load) {
    // Half of the faults hit the leader, which is the more interesting victim.
    let leader = cluster.leader().await;
    let all = cluster.numbers();
    let victim = match random.random_bool(0.5) {
        true => leader,
        false => *all.choose(random).unwrap(),
    };
    let other = *cluster.others(victim).choose(random).unwrap();
    let both = random.random_bool(0.2);
    match fault {
        Fault::Kill => cluster.kill(victim),
        Fault::Terminate => cluster.terminate(victim),
        Fault::Pause => cluster.pause(victim),
        Fault::Isolate => cluster.isolate(victim),
        Fault::Silence => cluster.silence(victim),
        Fault::Deafen => cluster.deafen(victim),
        Fault::KillAll => all.iter().for_each(|&number| cluster.kill(number)),
        Fault::KillTwo => [victim, other]
            .iter()
            .for_each(|&number| cluster.kill(number)),
        Fault::MoveLeader => cluster.move_leader(other).await,
    }
    if both && !matches!(fault, Fault::KillAll | Fault::KillTwo) {
        cluster.pause(other);
    }
    under_it(load).await;
    cluster.heal();
    for number in all {
        let running = cluster.alive().contains(&number);
        if cluster.member(number).is_paused() {
            cluster.resume(number);
        } else if !running {
            cluster.respawn(number);
        }
    }
    cluster.wait_writable(&cluster.numbers()).await;
}

/// Waits until clients have had enough answers, or the time limit passes.
async fn under_it(load: &Load) {
    let (begin, before) = (Instant::now(), load.answered());
    eventually_by(begin + FAULT * 2, "some time", || async {
        let answered = load.answered() >= before + ANSWERS;
        (answered && begin.elapsed() > FAULT / 2 || begin.elapsed() > FAULT).then_some(())
    })
    .await;
}

/// Waits for the end of the leases that no client keeps alive.
async fn leases_end(cluster: &Cluster) {
    let limit = Duration::from_secs(TTL as u64) + Duration::from_secs(10);
    eventually_by(Instant::now() + limit, "all leases to end", || async {
        let request = api::range(LEASES, history::follow::after(LEASES));
        let reply = cluster.kv(0).range(request).await.ok()?.into_inner();
        reply.kvs.is_empty().then_some(())
    })
    .await;
}

fn check_sessions(cluster: &Cluster, recorder: &Recorder, leases: &[Follower]) {
    history::expect_none(&sessions::check_locks(&recorder.holds()));
    if not_on_etcd(
        cluster,
        "leases: #15247, a leader that was paused revokes what it should not",
    ) {
        return;
    }
    for follower in leases {
        let violations = sessions::check_leases(&recorder.lives(), &follower.removals());
        history::expect_none(&violations);
    }
}
