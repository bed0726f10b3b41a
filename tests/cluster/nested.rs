//! Nested transactions through every member: a request that one member accepts can be applied by
//! all, now and after a restart.

use bytes::Bytes;
use conclave_proto::ApiError;
use harness::{Cluster, raw, within};
use tonic::{Code, Status};

use crate::on_three;

/// The deepest accepted nesting: one operation on each level, of 128.
const DEEPEST: usize = 127;

#[test]
fn every_depth_has_the_same_answer_through_every_member() {
    on_three(&[], |mut cluster| async move {
        for number in cluster.numbers() {
            ask(&cluster, number, (0..140).chain([500, 2_000, 100_000])).await;
        }
        let revision = cluster.expect_same_history().await;
        assert_eq!(revision, 1 + 3 * (DEEPEST as i64 + 1));
        // Restarted from their logs alone.
        for number in cluster.numbers() {
            cluster.kill(number);
        }
        for number in cluster.numbers() {
            cluster.respawn(number);
        }
        for number in cluster.numbers() {
            cluster.member(number).expect_ready();
        }
        cluster.leader().await;
        assert_eq!(cluster.expect_same_history().await, revision);
        cluster.wait_writable(&cluster.numbers()).await;
        assert_eq!(cluster.alive().len(), 3);
    });
}

async fn ask(cluster: &Cluster, number: usize, depths: impl Iterator<Item = usize>) {
    let channel = cluster.channel(number);
    for depth in depths {
        let path = "/etcdserverpb.KV/Txn";
        let asked = raw::call(channel.clone(), path, raw::nested_put(depth));
        let outcome = within("an answer", asked).await;
        assert!(is_as_etcd(depth, &outcome), "{depth}: {outcome:?}");
    }
}

fn is_as_etcd(depth: usize, outcome: &Result<Bytes, Status>) -> bool {
    match outcome {
        Ok(_) => depth <= DEEPEST,
        Err(status) => {
            let error = (status.code(), status.message());
            let too_many = ApiError::TooManyOps;
            let expected = (Code::from(too_many.wire_code()), too_many.text());
            depth > DEEPEST && error == expected
        }
    }
}
