//! lease grant, timetolive, keep-alive, list, revoke.

use super::{Pair, etcdctl};
use harness::Node;

#[test]
fn leases_from_grant_to_revoke() {
    harness::run(async {
        let both = Pair::start().await;
        assert_eq!(both.same("lease list").out, "found 0 leases");
        for node in [&both.conclave, &both.etcd] {
            life_of_a_lease(node);
        }
    });
}

/// The server chooses the ids, so the outputs are checked one by one.
fn life_of_a_lease(node: &Node) {
    let said = etcdctl(node, "lease grant 600", "");
    let id = said.out.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(said.out, format!("lease {id} granted with TTL(600s)\n"));

    assert_eq!(
        etcdctl(node, &format!("put a 1 --lease={id}"), "").out,
        "OK\n"
    );
    assert_eq!(
        etcdctl(node, &format!("put b 1 --lease={id}"), "").out,
        "OK\n"
    );
    assert_eq!(
        etcdctl(node, "lease list", "").out,
        format!("found 1 leases\n{id}\n")
    );

    let said = etcdctl(node, &format!("lease timetolive {id}"), "");
    assert!(
        said.out
            .starts_with(&format!("lease {id} granted with TTL(600s), remaining(")),
        "{said:?}"
    );
    let said = etcdctl(node, &format!("lease timetolive {id} --keys"), "");
    assert!(said.out.contains("attached keys("), "{said:?}");
    assert!(
        said.out.contains("[a b]") || said.out.contains("[b a]"),
        "{said:?}"
    );

    let said = etcdctl(node, &format!("lease keep-alive --once {id}"), "");
    assert_eq!(said.out, format!("lease {id} keepalived with TTL(600)\n"));

    let said = etcdctl(node, &format!("lease revoke {id}"), "");
    assert_eq!(said.out, format!("lease {id} revoked\n"));
    assert_eq!(etcdctl(node, "get a", "").out, "");
    let said = etcdctl(node, &format!("lease timetolive {id}"), "");
    assert_eq!(said.out, format!("lease {id} already expired\n"));
    let said = etcdctl(node, &format!("lease keep-alive --once {id}"), "");
    assert_eq!(said.err, "Error: etcdserver: requested lease not found\n");
}

#[test]
fn leases_in_other_forms() {
    harness::run(async {
        let both = Pair::start().await;
        both.same("lease grant 1");
        both.same("lease grant 9000000001");
        both.same("lease timetolive 7b -w fields");
        both.same("lease timetolive 7b -w json");
        both.same("lease revoke 7b -w json");
    });
}
