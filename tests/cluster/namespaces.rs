//! A cluster on interfaces of its own, where packets are lost and not connections: nobody is told
//! that the other side is gone.
//!
//! The test is not in that network. It asks through `etcdctl` in the middle of it.

use std::time::{Duration, Instant};

use harness::child::Child;
use harness::netns::Namespaces;
use harness::process::binary;
use harness::wait::DEADLINE;
use harness::{Backend, within};
use tempfile::TempDir;

#[test]
fn packets_are_lost() {
    let network = match Namespaces::create(3) {
        Ok(network) => network,
        Err(reason) => {
            eprintln!("skipped, no namespaces here: {reason}");
            return;
        }
    };
    harness::run(within_patience(async {
        let dir = tempfile::tempdir().unwrap();
        let _members: Vec<_> = (0..3).map(|number| start(&network, number, &dir)).collect();
        let mut written = 0;
        write(&network, &[0, 1, 2], &mut written);
        let leader = leader(&network, &[0, 1, 2]);
        let others: Vec<_> = (0..3).filter(|&number| number != leader).collect();
        // Its cable is pulled: the others go on.
        network.unplug(leader);
        write(&network, &others, &mut written);
        network.plug(leader);
        write(&network, &[leader], &mut written);
        // One way only, towards each of the others.
        let leader = self::leader(&network, &[0, 1, 2]);
        let others: Vec<_> = (0..3).filter(|&number| number != leader).collect();
        others
            .iter()
            .for_each(|&other| network.drop_from(leader, other));
        write(&network, &others, &mut written);
        others
            .iter()
            .for_each(|&other| network.restore_from(leader, other));
        write(&network, &[leader], &mut written);
        for number in 0..3 {
            let found = etcdctl(&network, &[number], "get k --prefix --keys-only -w json");
            let found = found.unwrap_or_default();
            assert!(
                found.contains(&format!("\"count\":{written}")),
                "{number}: {found}"
            );
        }
    }));
}

/// All of it together; single steps have their own limits.
async fn within_patience<F: Future<Output = ()>>(test: F) {
    within("the whole test", test).await;
}

fn start(network: &Namespaces, number: usize, dir: &TempDir) -> Child {
    let (program, more) = match Backend::Process.or_as_asked() {
        Backend::Etcd => (
            "/usr/bin/etcd".into(),
            vec!["--logger=zap", "--pre-vote=true"],
        ),
        Backend::Process | Backend::InProcess => (binary(), vec!["--log-format=json"]),
    };
    let url = |number, port| format!("http://{}:{port}", network.address(number));
    let all: Vec<_> = (0..3)
        .map(|member| format!("m{member}={}", url(member, 2380)))
        .collect();
    let mut words = network.inside(number);
    words.push(program.to_str().unwrap().to_owned());
    words.extend([
        format!("--name=m{number}"),
        format!(
            "--data-dir={}",
            dir.path().join(format!("m{number}")).display()
        ),
        format!("--listen-client-urls={}", url(number, 2379)),
        format!("--advertise-client-urls={}", url(number, 2379)),
        format!("--listen-peer-urls={}", url(number, 2380)),
        format!("--initial-advertise-peer-urls={}", url(number, 2380)),
        format!("--initial-cluster={}", all.join(",")),
        "--heartbeat-interval=50".to_owned(),
        "--election-timeout=500".to_owned(),
    ]);
    words.extend(more.into_iter().map(str::to_owned));
    Child::spawn(&words[0], &words[1..], &[])
}

/// Puts one more key through each of these members, trying until it is done.
fn write(network: &Namespaces, through: &[usize], written: &mut usize) {
    for &number in through {
        let deadline = Instant::now() + DEADLINE;
        let put = format!("put k{written} 1 --command-timeout=2s");
        while etcdctl(network, &[number], &put).is_none() {
            assert!(
                Instant::now() < deadline,
                "no write through member {number}"
            );
        }
        *written += 1;
    }
}

/// The leader, which all of these members must be there to name.
fn leader(network: &Namespaces, of: &[usize]) -> usize {
    let deadline = Instant::now() + DEADLINE;
    loop {
        for &number in of {
            let status = etcdctl(network, &[number], "endpoint status -w json");
            let status: serde_json::Value = status
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default();
            let status = &status[0]["Status"];
            let id = &status["header"]["member_id"];
            if id.is_u64() && *id == status["leader"] {
                return number;
            }
        }
        assert!(Instant::now() < deadline, "no leader");
    }
}

/// What it prints, if it succeeds.
fn etcdctl(network: &Namespaces, members: &[usize], words: &str) -> Option<String> {
    let endpoints: Vec<_> = members
        .iter()
        .map(|&member| format!("{}:2379", network.address(member)))
        .collect();
    let mut all = network.in_the_middle();
    all.extend([
        "etcdctl".to_owned(),
        format!("--endpoints={}", endpoints.join(",")),
    ]);
    all.extend(words.split(' ').map(str::to_owned));
    let mut child = Child::spawn(&all[0], &all[1..], &[("ETCDCTL_API", "3")]);
    let status = child.wait_at_most(Duration::from_secs(10));
    status.success().then(|| child.lines().join("\n"))
}
