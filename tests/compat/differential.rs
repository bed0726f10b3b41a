//! Sends the same random requests to Conclave and to etcd and compares the replies field by field.
//!
//! `CONCLAVE_TEST_SEED=7` runs that seed alone. A failure prints the seed, the step and both
//! replies.

use std::fmt::Debug;

use conclave_proto::etcdserverpb as pb;
use harness::api::{everything, revision_of};
use harness::{Backend, Node, Watching, api};
use tonic::{Response, Status};

use crate::generate::{Generator, Step};
use crate::{differences, mask};

const SEEDS: u64 = 8;
const STEPS: usize = 300;
const WATCHES: usize = 12;

#[test]
fn the_same_requests_have_the_same_replies() {
    let seeds = match harness::variable("CONCLAVE_TEST_SEED") {
        Some(seed) => vec![seed],
        None => (0..SEEDS).collect(),
    };
    harness::run(async {
        for seed in seeds {
            run(seed).await;
        }
    });
}

async fn run(seed: u64) {
    let conclave = Node::start(Backend::InProcess).await;
    let etcd = Node::start(Backend::Etcd).await;
    let mut generator = Generator::new(seed);
    let mut compacted = 0;
    for number in 0..STEPS {
        let step = generator.step();
        let ours = reply(&conclave, &step).await;
        let theirs = reply(&etcd, &step).await;
        let is_txn = matches!(step, Step::Txn(_));
        if !(is_txn && differences::same_refusal(&ours.text, &theirs.text)) {
            same(&ours.text, &theirs.text, || {
                format!("seed {seed}, step {number}, {step:#?}")
            });
        }
        generator.revision = theirs.revision.max(generator.revision);
        if let (Step::Compact(request), true) = (&step, theirs.is_ok) {
            compacted = request.revision;
        }
    }
    compare_all_keys(seed, &conclave, &etcd).await;
    for number in 0..WATCHES {
        let watch = generator.watch(compacted);
        let ours = watched(&conclave, &watch).await;
        let theirs = watched(&etcd, &watch).await;
        assert_eq!(ours, theirs, "seed {seed}, watch {number}, {watch:#?}");
    }
    compare_hashes(seed, &conclave, &etcd, compacted).await;
}

/// Expects equal texts; otherwise prints both from the first differing line.
#[track_caller]
fn same(ours: &str, theirs: &str, what: impl FnOnce() -> String) {
    if ours == theirs {
        return;
    }
    let common = ours
        .lines()
        .zip(theirs.lines())
        .take_while(|(ours, theirs)| ours == theirs);
    let before = common.count().saturating_sub(8);
    let near = |text: &str| {
        text.lines()
            .skip(before)
            .take(20)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (what, ours, theirs) = (what(), near(ours), near(theirs));
    panic!("{what}\n--- Conclave, from line {before}\n{ours}\n--- etcd\n{theirs}");
}

/// A reply in comparable form.
struct Reply {
    text: String,
    revision: i64,
    is_ok: bool,
}

async fn reply(node: &Node, step: &Step) -> Reply {
    match step.clone() {
        Step::Range(request) => settle(node.kv().range(request.clone()).await, |reply| {
            mask::header(&mut reply.header);
            differences::mask_range(&request, reply);
            revision_of(&reply.header)
        }),
        Step::Put(request) => settle(node.kv().put(request).await, |reply| {
            mask::header(&mut reply.header);
            revision_of(&reply.header)
        }),
        Step::DeleteRange(request) => settle(node.kv().delete_range(request).await, |reply| {
            mask::header(&mut reply.header);
            revision_of(&reply.header)
        }),
        Step::Txn(request) => settle(node.kv().txn(request.clone()).await, |reply| {
            mask::txn(&request, reply);
            revision_of(&reply.header)
        }),
        Step::Compact(request) => settle(node.kv().compact(request).await, |reply| {
            mask::header(&mut reply.header);
            revision_of(&reply.header)
        }),
        other => lease_reply(node, other).await,
    }
}

async fn lease_reply(node: &Node, step: Step) -> Reply {
    let mut stub = node.leases();
    match step {
        Step::LeaseGrant(request) => settle(stub.lease_grant(request).await, |reply| {
            mask::header(&mut reply.header);
            revision_of(&reply.header)
        }),
        Step::LeaseRevoke(request) => settle(stub.lease_revoke(request).await, |reply| {
            mask::header(&mut reply.header);
            revision_of(&reply.header)
        }),
        Step::LeaseTimeToLive(request) => settle(stub.lease_time_to_live(request).await, |reply| {
            mask::time_to_live(reply);
            revision_of(&reply.header)
        }),
        Step::LeaseLeases => settle(
            stub.lease_leases(pb::LeaseLeasesRequest {}).await,
            |reply| {
                mask::header(&mut reply.header);
                reply.leases.sort_unstable_by_key(|lease| lease.id);
                revision_of(&reply.header)
            },
        ),
        other => unreachable!("not about a lease: {other:?}"),
    }
}

/// Masks a reply with `revise`, which returns its revision; an error becomes its code and text.
fn settle<T: Debug>(
    outcome: Result<Response<T>, Status>,
    revise: impl FnOnce(&mut T) -> i64,
) -> Reply {
    match outcome.map(Response::into_inner) {
        Ok(mut reply) => {
            let revision = revise(&mut reply);
            Reply {
                text: format!("{reply:#?}"),
                revision,
                is_ok: true,
            }
        }
        Err(status) => {
            let text = format!("{:?}: {}", status.code(), status.message());
            Reply {
                text,
                revision: 0,
                is_ok: false,
            }
        }
    }
}

async fn compare_all_keys(seed: u64, conclave: &Node, etcd: &Node) {
    let (ours, theirs) = (
        conclave.range(everything()).await,
        etcd.range(everything()).await,
    );
    assert_eq!(ours.kvs, theirs.kvs, "seed {seed}, all keys at the end");
}

/// All events of the watch, up to a put and a delete of a marker key.
async fn watched(node: &Node, create: &pb::WatchCreateRequest) -> Vec<String> {
    let mut watching = Watching::on(node, create.clone()).await;
    node.put(create.key.clone(), "the end").await;
    let end = node.delete(create.key.clone()).await;
    // If the watch filters deletes, the put is the last event.
    let end = if create.filters.contains(&1) {
        end - 1
    } else {
        end
    };
    let mut told = Vec::new();
    loop {
        let response = watching.next().await;
        told.extend(response.events.iter().map(|event| format!("{event:?}")));
        let last = response.events.last().and_then(|event| event.kv.as_ref());
        if last.is_some_and(|kv| kv.mod_revision == end) {
            return told;
        }
    }
}

/// The hash covers every kept version of every key, so equal hashes mean equal histories. After a
/// compaction the two servers may keep different tombstones; then nothing is compared.
async fn compare_hashes(seed: u64, conclave: &Node, etcd: &Node, compacted: i64) {
    if compacted > 0 {
        return;
    }
    let hash = |node: &Node| {
        let mut stub = node.maintenance();
        async move {
            stub.hash_kv(pb::HashKvRequest { revision: 0 })
                .await
                .unwrap()
                .into_inner()
                .hash
        }
    };
    assert_eq!(
        hash(conclave).await,
        hash(etcd).await,
        "seed {seed}, hash at the end"
    );
}

/// Half of the seeds compact; this one never does, so that the hashes are always compared once.
#[test]
fn the_same_history_has_the_same_hash() {
    harness::run(async {
        let conclave = Node::start(Backend::InProcess).await;
        let etcd = Node::start(Backend::Etcd).await;
        for node in [&conclave, &etcd] {
            node.grant(7, 1_000).await;
            node.put("a", "1").await;
            node.put_with(api::put_leased("b", "2", 7)).await;
            node.delete("a").await;
            node.txn(api::all([
                api::op(api::put("c", "3")),
                api::op(api::delete("b")),
            ]))
            .await;
            node.put("a", vec![b'x'; 10_000]).await;
        }
        compare_hashes(0, &conclave, &etcd, 0).await;
        for node in [&conclave, &etcd] {
            node.compact(4).await;
            node.put("d", "4").await;
        }
        compare_hashes(0, &conclave, &etcd, 0).await;
    });
}
