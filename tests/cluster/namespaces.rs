//! A cluster on its own network interfaces, where packets are lost instead of connections closed:
//! no side is notified that the other is gone.
//!
//! The test is outside that network. It sends requests through `etcdctl` in the hub.

use std::net::Ipv4Addr;
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
        // Its cable is pulled; the others go on.
        network.unplug(leader);
        write(&network, &others, &mut written);
        network.plug(leader);
        write(&network, &[leader], &mut written);
        // Drops packets in one direction only, towards each of the others.
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

/// Time limit for the whole test; single steps have their own limits.
async fn within_patience<F: Future<Output = ()>>(test: F) {
    within("the whole test", test).await;
}

/// With etcd's feature gate a member that has two addresses connects to the others from the address
/// it advertises, not from the one the system would choose.
#[test]
fn connections_are_made_from_the_advertised_address() {
    let network = match Namespaces::create(3) {
        Ok(network) => network,
        Err(reason) => {
            eprintln!("skipped, no namespaces here: {reason}");
            return;
        }
    };
    if Backend::Process.or_as_asked() == Backend::Etcd {
        eprintln!("skipped on etcd 3.4: the gate came with 3.6");
        return;
    }
    let second: Vec<_> = (0..3).map(|number| network.add_address(number)).collect();
    let dir = tempfile::tempdir().unwrap();
    let gate = "--feature-gates=SetMemberLocalAddr=true";
    let members: Vec<_> = (0..3)
        .map(|number| start_at(&network, number, &dir, &second, &[gate]))
        .collect();
    write(&network, &[0, 1, 2], &mut 0);
    for (number, member) in members.iter().enumerate() {
        let from = outgoing(member);
        assert!(!from.is_empty(), "member {number} connects to others");
        assert!(
            from.iter().all(|address| *address == second[number]),
            "member {number}: {from:?}"
        );
    }
}

/// The local addresses of a process' connections to the peer ports of other members.
fn outgoing(member: &Child) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", member.pid())).unwrap();
    let address = |text: &str| {
        let (address, port) = text.split_once(':').unwrap();
        let address = u32::from_str_radix(address, 16).unwrap().to_le_bytes();
        let port = u16::from_str_radix(port, 16).unwrap();
        (Ipv4Addr::from(address).to_string(), port)
    };
    let lines = table.lines().skip(1).map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, remote) = (words.next().unwrap(), words.next().unwrap());
        (address(local), address(remote), words.next().unwrap())
    });
    lines
        .filter(|(_, remote, state)| remote.1 == 2380 && *state == ESTABLISHED)
        .map(|(local, ..)| local.0)
        .collect()
}

/// The state in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

fn start(network: &Namespaces, number: usize, dir: &TempDir) -> Child {
    let addresses: Vec<_> = (0..3).map(|number| network.address(number)).collect();
    start_at(network, number, dir, &addresses, &[])
}

/// Starts a member that advertises this address to its peers.
fn start_at(
    network: &Namespaces,
    number: usize,
    dir: &TempDir,
    peer_addresses: &[String],
    flags: &[&str],
) -> Child {
    let (program, more) = match Backend::Process.or_as_asked() {
        Backend::Etcd => (
            "/usr/bin/etcd".into(),
            vec!["--logger=zap", "--pre-vote=true"],
        ),
        Backend::Process | Backend::InProcess => (binary(), vec!["--log-format=json"]),
    };
    let url = |number, port| format!("http://{}:{port}", network.address(number));
    let peer_url = |number: usize| format!("http://{}:2380", peer_addresses[number]);
    let all: Vec<_> = (0..3)
        .map(|member| format!("m{member}={}", peer_url(member)))
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
        format!("--listen-peer-urls={}", peer_url(number)),
        format!("--initial-advertise-peer-urls={}", peer_url(number)),
        format!("--initial-cluster={}", all.join(",")),
        "--heartbeat-interval=50".to_owned(),
        "--election-timeout=500".to_owned(),
    ]);
    words.extend(more.iter().chain(flags).map(|&flag| flag.to_owned()));
    Child::spawn(&words[0], &words[1..], &[])
}

/// Puts one more key through each of these members, retrying until it succeeds.
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

/// The leader, once all of these members name the same one.
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

/// The output of an etcdctl command, if it succeeds.
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
