//! endpoint, member, alarm, defrag, check.

use harness::{Backend, Node};

use super::{Pair, etcdctl};

#[test]
fn health_is_reported() {
    harness::run(async {
        let node = Node::start(Backend::Process).await;
        let said = etcdctl(&node, "endpoint health", "");
        assert!(
            said.success && (said.out.clone() + &said.err).contains("is healthy"),
            "{said:?}"
        );
        let said = etcdctl(&node, "endpoint health -w json", "");
        assert!(said.out.contains("\"health\":true"), "{said:?}");
        assert!(etcdctl(&node, "endpoint health -w table", "").success);
    });
}

#[test]
fn status_is_reported_in_every_form() {
    harness::run(async {
        let node = Node::start(Backend::Process).await;
        etcdctl(&node, "put a 1", "");
        let said = etcdctl(&node, "endpoint status -w json", "");
        let status: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let status = &status[0]["Status"];
        assert_eq!(status["version"], "3.7.1");
        assert_eq!(status["leader"], status["header"]["member_id"]);
        assert_eq!(status["header"]["revision"], 2);
        let table = etcdctl(&node, "endpoint status -w table", "");
        assert!(
            table.out.contains("| IS LEADER |") && table.out.contains("3.7.1"),
            "{table:?}"
        );
        assert!(etcdctl(&node, "endpoint status -w fields", "").success);
        assert!(
            etcdctl(&node, "endpoint status", "")
                .out
                .contains(", true, false, ")
        );
    });
}

#[test]
fn hashkv_is_the_same_number() {
    harness::run(async {
        let both = Pair::start().await;
        for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            both.same(&format!("put {key} {value}"));
        }
        both.same("del b");
        both.same("endpoint hashkv");
        both.same("endpoint hashkv --rev=3");
        both.same("endpoint hashkv --rev=99");
    });
}

#[test]
fn the_member_is_listed() {
    harness::run(async {
        let node = Node::start(Backend::Process).await;
        let said = etcdctl(&node, "member list", "");
        let fields: Vec<_> = said.out.trim().split(", ").collect();
        assert_eq!(
            (fields[1], fields[2], fields[5]),
            ("started", "default", "false"),
            "{said:?}"
        );
        let table = etcdctl(&node, "member list -w table", "");
        assert!(table.out.contains("| started | default |"), "{table:?}");
        let json = etcdctl(&node, "member list -w json", "");
        let list: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(list["members"][0]["ID"], list["header"]["member_id"]);
    });
}

#[test]
fn alarms_are_listed_and_disarmed() {
    harness::run(async {
        let both = Pair::start().await;
        assert_eq!(both.same("alarm list").out, "");
        both.same("alarm disarm");
    });
}

#[test]
fn defrag_says_that_it_is_done() {
    harness::run(async {
        let both = Pair::start().await;
        both.same("put a 1");
        let said = both.same("defrag");
        assert!(
            said.success && said.out.contains("Finished defragmenting"),
            "{said:?}"
        );
        both.same("get a");
    });
}

#[test]
fn what_is_missing_says_so() {
    harness::run(async {
        let node = Node::start(Backend::Process).await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("snapshot");
        let said = etcdctl(&node, &format!("snapshot save {}", file.display()), "");
        assert!(!said.success, "{said:?}");
        assert!(
            said.err
                .contains("Snapshot is not available in this version"),
            "{said:?}"
        );
    });
}
