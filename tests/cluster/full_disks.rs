//! Members whose disk is full: each logs that and stops, the others go on, and once there is space
//! the member catches up. Acknowledged writes are never lost.

use harness::disk::Disk;
use harness::{Cluster, within};

use crate::not_on_etcd;

const SMALL: &str = "size=48m";
const LARGE: &str = "size=512m";
/// The member on the small disk.
const SMALLEST: usize = 2;
const VALUE_BYTES: usize = 256 << 10;
/// Far more than the disk holds.
const PUTS: usize = 1_000;

#[test]
fn a_follower_with_a_full_disk_stops_and_catches_up_with_room() {
    on_a_small_disk(async |mut cluster, disk| {
        cluster.move_leader(0).await;
        let mut keys = 0;
        while cluster.child(SMALLEST).is_running() {
            assert!(keys < PUTS, "the disk does not fill");
            put(&cluster, 0, keys).await.unwrap();
            keys += 1;
        }
        stopped_for_room(&mut cluster, disk);
        assert_eq!(cluster.leader().await, 0, "another member leads");
        for &through in &[0, 1] {
            put(&cluster, through, keys).await.unwrap();
            keys += 1;
        }
        comes_back(&mut cluster, disk, keys).await;
    });
}

#[test]
fn a_leader_with_a_full_disk_stops_and_another_leads() {
    on_a_small_disk(async |mut cluster, disk| {
        cluster.move_leader(SMALLEST).await;
        let mut keys = 0;
        while put(&cluster, SMALLEST, keys).await.is_ok() {
            assert!(keys < PUTS, "the disk does not fill");
            keys += 1;
        }
        stopped_for_room(&mut cluster, disk);
        let next = cluster.leader_after(SMALLEST).await;
        expect_keys(&cluster, next, keys).await;
        // The unacknowledged put may or may not have been committed; this one makes it certain.
        put(&cluster, next, keys).await.unwrap();
        cluster.wait_writable(&[0, 1]).await;
        comes_back(&mut cluster, disk, keys + 1).await;
    });
}

/// Runs a test on a cluster of three members, one of which has a small disk.
fn on_a_small_disk(test: impl AsyncFnOnce(Cluster, &Disk)) {
    let Some(disk) = Disk::mount(SMALL) else {
        return;
    };
    harness::run(async {
        let mut cluster = Cluster::prepare(3, &[], "a-test");
        if not_on_etcd(&cluster, "its log preallocates 64 MiB") {
            return;
        }
        cluster.member(SMALLEST).set_place(disk.path());
        cluster.start_all().await;
        test(cluster, &disk).await;
    });
}

/// Expects its process to end by itself, with a line that names the reason and the place.
fn stopped_for_room(cluster: &mut Cluster, disk: &Disk) {
    let child = cluster.child(SMALLEST);
    child.expect_error("the disk is full", disk.path());
    cluster.kill(SMALLEST);
}

/// Makes space, starts it and expects it to catch up.
async fn comes_back(cluster: &mut Cluster, disk: &Disk, keys: usize) {
    disk.remount(LARGE);
    cluster.restart(SMALLEST);
    cluster.wait_writable(&[SMALLEST]).await;
    expect_keys(cluster, SMALLEST, keys).await;
    cluster.expect_same_history().await;
}

async fn put(cluster: &Cluster, through: usize, index: usize) -> Result<i64, tonic::Status> {
    let put = cluster.try_put(through, format!("k{index}"), value(index));
    within("an answer", put).await
}

async fn expect_keys(cluster: &Cluster, through: usize, keys: usize) {
    let mut kv = cluster.kv(through);
    for index in 0..keys {
        let read = kv.range(harness::api::get(format!("k{index}")));
        let reply = within("a read", read).await.unwrap().into_inner();
        let found = reply.kvs.first().map(|kv| &kv.value[..]);
        assert!(found == Some(&value(index)[..]), "k{index} is lost");
    }
}

/// A value that cannot be compressed.
fn value(index: usize) -> Vec<u8> {
    (0..VALUE_BYTES)
        .map(|at| (at * at / 7 + index) as u8)
        .collect()
}
