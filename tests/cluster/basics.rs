//! A healthy cluster.

use conclave_proto::etcdserverpb::kv_client::KvClient;
use harness::child::Child;
use harness::{Backend, Cluster, Servers, eventually, within};

use crate::on_three;

#[test]
fn three_elect_one() {
    on_three(&[], |cluster| async move {
        let leader = cluster.leader().await;
        let id = cluster.id(leader, leader).await;
        for number in cluster.numbers() {
            let status = cluster.status(number).await.unwrap();
            assert_eq!(status.leader, id, "member {number}");
        }
        let members = cluster.list(leader).await;
        let mut names: Vec<_> = members.iter().map(|member| &member.name[..]).collect();
        names.sort_unstable();
        assert_eq!(names, ["m0", "m1", "m2"]);
        assert!(
            members.iter().all(|member| !member.client_urls.is_empty()),
            "{members:?}"
        );
    });
}

/// An acknowledged put is visible at once to reads through every other member.
#[test]
fn what_is_put_through_one_is_read_through_all() {
    on_three(&[], |cluster| async move {
        for through in cluster.numbers() {
            for round in 0..10 {
                let value = format!("{through}/{round}");
                cluster.put(through, "a", &value).await;
                for reader in cluster.numbers() {
                    let found = cluster.get(reader, "a").await.unwrap();
                    assert_eq!(found.as_ref(), Some(&value), "member {reader}");
                }
            }
        }
        cluster.expect_same_history().await;
    });
}

#[test]
fn a_lone_first_member_of_three_does_not_serve() {
    harness::run(async {
        let mut cluster = Cluster::prepare(3, &[], "a-test");
        cluster.respawn(0);
        // Alone it waits for the others and does not log that it is ready.
        let early = cluster.child(0).lines();
        cluster.respawn(1);
        for number in 0..2 {
            cluster.member(number).expect_ready();
        }
        let ready = |line: &String| line.contains("ready to serve client requests");
        assert!(!early.iter().any(ready), "{early:#?}");
        cluster.put(0, "a", "1").await;
        cluster.respawn(2);
        cluster.member(2).expect_ready();
        assert_eq!(cluster.get(2, "a").await.unwrap().as_deref(), Some("1"));
    });
}

#[test]
fn etcdctl_moves_the_leader() {
    on_three(&[], |cluster| async move {
        let old = cluster.leader().await;
        let new = cluster.others(old)[0];
        let id = format!("{:x}", cluster.id(old, new).await);
        let said = etcdctl(&cluster, &["move-leader", &id]).join("\n");
        assert!(said.contains("Leadership transferred"), "{said}");
        eventually("the new leader to lead", || async {
            (cluster.leader().await == new).then_some(())
        })
        .await;
        cluster.put(old, "a", "1").await;
    });
}

/// etcdctl commands that send a request to each endpoint, given as URLs.
#[test]
fn etcdctl_asks_every_member() {
    on_three(&[], |cluster| async move {
        cluster.put(0, "a", "1").await;
        cluster.expect_same_history().await;
        let mut endpoints = cluster.endpoints();
        endpoints.sort_unstable();
        for scope in ["--cluster=false", "--cluster"] {
            let ask = |command: &str, field: &str| {
                let mut answers = etcdctl_json(&cluster, &["endpoint", command, scope, "-w=json"]);
                answers.sort_unstable_by_key(|answer| answer[field].to_string());
                let asked: Vec<_> = answers.iter().map(|answer| answer[field].clone()).collect();
                assert_eq!(asked, endpoints, "{command} {scope}");
                answers
            };
            let healths = ask("health", "endpoint");
            assert!(healths.iter().all(|answer| answer["health"] == true));
            let statuses = ask("status", "Endpoint");
            let leads = |answer: &&serde_json::Value| {
                let status = &answer["Status"];
                status["leader"] == status["header"]["member_id"]
            };
            assert_eq!(statuses.iter().filter(leads).count(), 1, "{statuses:?}");
            let hashes = ask("hashkv", "Endpoint");
            let hash = |answer: &serde_json::Value| answer["HashKV"]["hash"].clone();
            assert!(hash(&hashes[0]).is_number(), "{hashes:?}");
            assert!(hashes.iter().all(|answer| hash(answer) == hash(&hashes[0])));
            let defragmented = etcdctl(&cluster, &["defrag", scope]);
            assert_eq!(defragmented.len(), 3, "{defragmented:?}");
        }
    });
}

/// Output lines of an etcdctl command that must succeed, with the endpoints as an operator writes
/// them.
fn etcdctl(cluster: &Cluster, arguments: &[&str]) -> Vec<String> {
    let endpoints = format!("--endpoints={}", cluster.endpoints().join(","));
    let arguments: Vec<_> = std::iter::once(&endpoints[..])
        .chain(arguments.iter().copied())
        .collect();
    let mut etcdctl = Child::spawn("/usr/bin/etcdctl", &arguments, &[("ETCDCTL_API", "3")]);
    let status = etcdctl.wait();
    assert!(status.success(), "{arguments:?}: {:#?}", etcdctl.lines());
    etcdctl.lines()
}

/// The JSON list that a command prints.
fn etcdctl_json(cluster: &Cluster, arguments: &[&str]) -> Vec<serde_json::Value> {
    let lines = etcdctl(cluster, arguments);
    serde_json::from_str(&lines[0]).unwrap()
}

/// A transfer of leadership costs no timeout: no write during it is refused or slow.
#[test]
fn writes_go_on_while_leadership_moves() {
    on_three(&[], |cluster| async move {
        for target in [0, 1, 2, 0, 1, 2] {
            cluster.move_leader(target).await;
            within("a put", cluster.put(target, "a", "1")).await;
        }
        cluster.expect_same_history().await;
    });
}

/// The same inside this process, where a debugger and a profiler see all members.
#[test]
fn three_in_one_process() {
    harness::run(async {
        if Backend::Process.or_as_asked() == Backend::Etcd {
            eprintln!("skipped: etcd is not in this process");
            return;
        }
        let servers = Servers::start(3, &[]).await;
        for number in 0..3 {
            let mut kv = KvClient::new(servers.channel(number));
            kv.put(harness::api::put("a", number.to_string()))
                .await
                .unwrap();
            for reader in 0..3 {
                let mut kv = KvClient::new(servers.channel(reader));
                let found = kv.range(harness::api::get("a")).await.unwrap();
                let values = harness::api::values(&found.into_inner().kvs);
                assert_eq!(values, [number.to_string()], "member {reader}");
            }
        }
        servers.stop().await;
    });
}
