//! Endpoints given as URLs and as Unix sockets.
//!
//! Commands that send a request to each endpoint use the value of `--endpoints` as the `:authority`
//! of their requests; with a socket all commands do.

use harness::{Backend, Node};

use super::{Pair, Said, etcdctl_at, same_at, start_at};

#[test]
fn commands_take_a_url() {
    harness::run(async {
        let both = Pair::start().await;
        for command in [
            "put a 1",
            "put a 2 --prev-kv",
            "get a",
            "get a -w json",
            "del a",
            "endpoint hashkv",
            "endpoint hashkv -w fields",
            "alarm list",
            "alarm disarm",
            "defrag",
            "lease list",
            "compaction 2",
            "lock l echo held",
            "move-leader 7b",
        ] {
            same_at(both.conclave.endpoint(), both.etcd.endpoint(), command, "");
        }
        let txn = "value(\"a\") = \"1\"\n\nput a 2\n\nput a 1\n\n";
        same_at(both.conclave.endpoint(), both.etcd.endpoint(), "txn", txn);
    });
}

#[test]
fn status_health_and_members_have_the_same_forms() {
    harness::run(async {
        let both = Pair::start().await;
        let [ours, theirs] = [&both.conclave, &both.etcd].map(|node| {
            let endpoint = node.endpoint();
            let say = |command: &str| succeed(endpoint, command);
            assert!(say("endpoint health").contains("is healthy"));
            let health = json(&say("endpoint health -w json"));
            assert_eq!(health[0]["health"], true, "{health}");
            let status = json(&say("endpoint status -w json"));
            assert_eq!(status[0]["Endpoint"], endpoint, "{status}");
            let members = json(&say("member list -w json"));
            let member = members["members"][0].as_object().unwrap();
            (
                columns(&say("endpoint health -w table")),
                columns(&say("endpoint status -w table")),
                names(&say("endpoint status -w fields")),
                member.keys().cloned().collect::<Vec<_>>(),
                columns(&say("member list -w table")),
                names(&say("member list -w fields")),
            )
        });
        assert_eq!(ours, theirs);
    });
}

#[test]
fn a_watch_takes_a_url() {
    harness::run(async {
        let both = Pair::start().await;
        for node in [&both.conclave, &both.etcd] {
            told_of_a_put(node.endpoint());
        }
    });
}

/// etcd 3.4 does not listen on a path, so there is nothing to compare with.
#[test]
fn every_command_takes_a_socket() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("unix://{}/clients.sock", dir.path().display());
        let flags = format!("--listen-client-urls={url}");
        let _node = Node::start_with(Backend::Process, &[&flags]).await;
        assert_eq!(succeed(&url, "put a 1"), "OK\n");
        assert_eq!(succeed(&url, "get a"), "a\n1\n");
        assert_eq!(succeed(&url, "lock l echo held"), "held\n");
        assert!(succeed(&url, "endpoint health").contains("is healthy"));
        assert_eq!(
            json(&succeed(&url, "endpoint status -w json"))[0]["Endpoint"],
            url
        );
        assert!(succeed(&url, "endpoint hashkv").starts_with(&url));
        assert!(succeed(&url, "member list").contains("started"));
        told_of_a_put(&url);
    });
}

fn told_of_a_put(endpoint: &str) {
    let watch = start_at(endpoint, "watch w --rev=1");
    succeed(endpoint, "put w told");
    watch.line("told").unwrap();
}

/// Returns the output of a command that must succeed, standard output or error.
#[track_caller]
fn succeed(endpoint: &str, command: &str) -> String {
    let Said { success, out, err } = etcdctl_at(endpoint, command, "");
    assert!(success, "etcdctl {command}: {out} {err}");
    out + &err
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// The columns of a table.
fn columns(table: &str) -> Vec<String> {
    let heads = table.lines().nth(1).unwrap().split('|');
    heads.map(|head| head.trim().to_owned()).collect()
}

/// The names of fields.
fn names(fields: &str) -> Vec<String> {
    let names = fields.lines().filter_map(|line| line.split(" :").next());
    names.map(str::to_owned).collect()
}
