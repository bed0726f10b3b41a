//! Comparisons: each target, each operator, missing keys, ranges of keys.

use conclave_proto::etcdserverpb::Compare;
use conclave_proto::etcdserverpb::compare::CompareResult::{Equal, Greater, Less, NotEqual};
use conclave_proto::etcdserverpb::compare::TargetUnion::{
    CreateRevision, Lease, ModRevision, Value, Version,
};
use conclave_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use harness::Node;
use harness::api::{OPEN, compare, over, put_leased, txn};

suite![
    versions,
    create_revisions,
    mod_revisions,
    values_are_compared_as_bytes,
    leases,
    a_missing_key_has_only_zeros,
    a_missing_key_has_no_value,
    a_deleted_key_is_missing,
    every_key_of_a_range_must_agree,
    a_range_without_keys_is_one_missing_key,
    an_open_range_reaches_the_last_key,
    a_missing_operand_is_zero,
    an_unknown_operator_never_refuses,
];

/// The operators that hold when the key's property is below, at or above the operand.
const BELOW: &[CompareResult] = &[Less, NotEqual];
const AT: &[CompareResult] = &[Equal];
const ABOVE: &[CompareResult] = &[Greater, NotEqual];
const NONE: &[CompareResult] = &[];

async fn versions(node: Node) {
    node.put("a", "1").await;
    node.put("a", "2").await;
    holds_only(&node, "a", Version(1), ABOVE).await;
    holds_only(&node, "a", Version(2), AT).await;
    holds_only(&node, "a", Version(3), BELOW).await;
}

async fn create_revisions(node: Node) {
    node.put("a", "1").await;
    node.put("a", "2").await;
    holds_only(&node, "a", CreateRevision(1), ABOVE).await;
    holds_only(&node, "a", CreateRevision(2), AT).await;
    holds_only(&node, "a", CreateRevision(3), BELOW).await;
}

async fn mod_revisions(node: Node) {
    node.put("a", "1").await;
    node.put("a", "2").await;
    holds_only(&node, "a", ModRevision(2), ABOVE).await;
    holds_only(&node, "a", ModRevision(3), AT).await;
    holds_only(&node, "a", ModRevision(4), BELOW).await;
}

async fn values_are_compared_as_bytes(node: Node) {
    node.put("a", "5").await;
    holds_only(&node, "a", Value("10".into()), ABOVE).await;
    holds_only(&node, "a", Value("5".into()), AT).await;
    holds_only(&node, "a", Value("50".into()), BELOW).await;
    holds_only(&node, "a", Value("".into()), ABOVE).await;
}

async fn leases(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    holds_only(&node, "a", Lease(6), ABOVE).await;
    holds_only(&node, "a", Lease(7), AT).await;
    holds_only(&node, "a", Lease(8), BELOW).await;
    node.put("b", "1").await;
    holds_only(&node, "b", Lease(0), AT).await;
}

async fn a_missing_key_has_only_zeros(node: Node) {
    for zero in [Version(0), CreateRevision(0), ModRevision(0), Lease(0)] {
        holds_only(&node, "a", zero, AT).await;
    }
    for one in [Version(1), CreateRevision(1), ModRevision(1), Lease(1)] {
        holds_only(&node, "a", one, BELOW).await;
    }
}

async fn a_missing_key_has_no_value(node: Node) {
    holds_only(&node, "a", Value("".into()), NONE).await;
    holds_only(&node, "a", Value("x".into()), NONE).await;
}

async fn a_deleted_key_is_missing(node: Node) {
    node.put("a", "1").await;
    node.delete("a").await;
    holds_only(&node, "a", Version(0), AT).await;
    holds_only(&node, "a", Value("1".into()), NONE).await;
}

async fn every_key_of_a_range_must_agree(node: Node) {
    for key in ["a", "b", "c"] {
        node.put(key, "same").await;
    }
    let same = || over(compare("a", Equal, Value("same".into())), "d");
    assert!(holds(&node, same()).await);
    let versions = over(compare("a", Less, Version(2)), "d");
    assert!(holds(&node, versions.clone()).await);
    node.put("b", "other").await;
    assert!(!holds(&node, same()).await);
    assert!(!holds(&node, versions).await);
    assert!(holds(&node, over(compare("c", Equal, Value("same".into())), "d")).await);
}

async fn a_range_without_keys_is_one_missing_key(node: Node) {
    node.put("a", "1").await;
    assert!(holds(&node, over(compare("b", Equal, Version(0)), "c")).await);
    assert!(!holds(&node, over(compare("b", Greater, Version(0)), "c")).await);
    assert!(!holds(&node, over(compare("b", NotEqual, Value("1".into())), "c")).await);
}

async fn an_open_range_reaches_the_last_key(node: Node) {
    node.put("a", "1").await;
    node.put(&[0xff][..], "2").await;
    let ones = |key| over(compare(key, Equal, Value("1".into())), OPEN);
    assert!(!holds(&node, ones("a")).await);
    assert!(holds(&node, over(compare("a", Greater, CreateRevision(1)), OPEN)).await);
}

async fn a_missing_operand_is_zero(node: Node) {
    let compare = Compare {
        target: CompareTarget::Create as i32,
        result: Equal as i32,
        key: "a".into(),
        ..Default::default()
    };
    assert!(holds(&node, compare.clone()).await);
    node.put("a", "1").await;
    assert!(!holds(&node, compare).await);
}

/// etcd treats an unknown operator as always true.
async fn an_unknown_operator_never_refuses(node: Node) {
    node.put("a", "1").await;
    let compare = Compare {
        result: 9,
        ..compare("a", Equal, Version(5))
    };
    assert!(holds(&node, compare).await);
}

async fn holds(node: &Node, compare: Compare) -> bool {
    node.txn(txn([compare], [], [])).await.succeeded
}

#[track_caller]
fn check(found: Vec<CompareResult>, operand: &TargetUnion, expected: &[CompareResult]) {
    assert_eq!(found, expected, "against {operand:?}");
}

async fn holds_only(node: &Node, key: &'static str, operand: TargetUnion, set: &[CompareResult]) {
    let mut found = Vec::new();
    for result in [Equal, Greater, Less, NotEqual] {
        if holds(node, compare(key, result, operand.clone())).await {
            found.push(result);
        }
    }
    check(found, &operand, set);
}
