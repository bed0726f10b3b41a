//! Recovery from the permanent loss of a majority: on the operator's command one of the survivors
//! becomes a cluster of one.

use std::collections::BTreeSet;

use conclave_proto::etcdserverpb as pb;
use harness::{Cluster, api, eventually, within};

use crate::membership::REMOVED;
use crate::{not_on_etcd, on_three};

const KEYS: usize = 60;

#[test]
fn a_survivor_goes_on_alone_with_all_data() {
    on_three(&[], |mut cluster| async move {
        if not_on_etcd(
            &cluster,
            "it reports that a member was removed in another way",
        ) {
            return;
        }
        let survivor = cluster.others(cluster.leader().await)[0];
        let revision = fill(&cluster).await;
        let id = cluster.id(survivor, survivor).await;
        let lost = cluster.others(survivor);
        lost.iter().for_each(|&number| cluster.lose(number));
        cluster.terminate(survivor);
        start_with(&mut cluster, survivor, &["--force-new-cluster"]);
        expect_alone(&cluster, survivor, id).await;
        expect_all(&cluster, survivor, revision).await;
        cluster.put(survivor, "k", "alone").await;
        // The flag is meant for one start.
        cluster.terminate(survivor);
        start_with(&mut cluster, survivor, &[]);
        expect_alone(&cluster, survivor, id).await;
        expect_all(&cluster, survivor, revision).await;
        // A lost member that comes back has been removed.
        cluster.respawn(lost[0]);
        let line = cluster.child(lost[0]).line(REMOVED);
        assert!(line.is_some(), "{:#?}", cluster.child(lost[0]).lines());
        assert!(cluster.child(lost[0]).wait().success());
        expect_alone(&cluster, survivor, id).await;
        grow(&mut cluster, survivor).await;
    });
}

/// Grows the cluster to three again, of which any member may fail.
async fn grow(cluster: &mut Cluster, survivor: usize) {
    for _ in 0..2 {
        let new = cluster.add(survivor).await;
        cluster.wait_writable(&[new]).await;
    }
    assert_eq!(cluster.list(survivor).await.len(), 3);
    cluster.expect_same_history().await;
    cluster.kill(survivor);
    let rest = cluster.others(survivor);
    cluster.wait_writable(&rest).await;
    let found = cluster.get(rest[0], "k").await.unwrap();
    assert_eq!(found.as_deref(), Some("alone"));
}

/// Puts keys through every member and waits until all members have them; returns the last revision.
async fn fill(cluster: &Cluster) -> i64 {
    let mut revision = 0;
    for index in 0..KEYS {
        let key = format!("data/{index}");
        revision = cluster.put(index % 3, &key, &index.to_string()).await;
    }
    cluster.expect_same_history().await;
    revision
}

fn start_with(cluster: &mut Cluster, number: usize, flags: &[&str]) {
    cluster.member(number).set_own_flags(flags);
    cluster.restart(number);
}

/// Expects it to lead a membership that lists only itself.
async fn expect_alone(cluster: &Cluster, number: usize, id: u64) {
    let members = cluster.list(number).await;
    let ids: BTreeSet<_> = members.iter().map(|member| member.id).collect();
    assert_eq!(ids, BTreeSet::from([id]), "{members:?}");
    assert_eq!(members[0].name, format!("m{number}"));
    eventually("it to lead", || async {
        let status = cluster.status(number).await.ok()?;
        (status.leader == id && status.errors.is_empty()).then_some(())
    })
    .await;
}

/// Expects all data at its revisions, and new writes after it.
async fn expect_all(cluster: &Cluster, number: usize, revision: i64) {
    let past = pb::RangeRequest {
        revision,
        ..api::range("data/", "data0")
    };
    let reply = within("a read", cluster.kv(number).range(past)).await;
    let values = api::values(&reply.unwrap().into_inner().kvs);
    let values: BTreeSet<_> = values.into_iter().collect();
    let all: BTreeSet<_> = (0..KEYS).map(|index| index.to_string()).collect();
    assert_eq!(values, all);
    assert!(cluster.put(number, "next", "1").await > revision);
}
