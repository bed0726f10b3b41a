//! Full disks: the member stops or refuses writes, and acknowledged writes are there once there is
//! space again.

use conclave_client::Client;
use harness::disk::Disk;
use harness::process::{own_place, run_binary};
use harness::{Process, within};

const SMALL: &str = "size=48m";
const LARGE: &str = "size=512m";
const VALUE_BYTES: usize = 256 << 10;

#[test]
fn nothing_acknowledged_is_lost_on_a_full_disk() {
    let Some(disk) = Disk::mount(SMALL) else {
        return;
    };
    let mut process = Process::start_in(disk.path(), &[]);
    let acknowledged = harness::run(fill(process.endpoint().to_owned()));
    assert!(acknowledged > 0, "something fits");
    process.child().kill();
    disk.remount(LARGE);
    process.restart();
    harness::run(async {
        let client = Client::connect([process.endpoint()]).await.unwrap();
        for index in 0..acknowledged {
            let kv = client.get(format!("k{index}")).await.unwrap();
            let kv = kv.unwrap_or_else(|| panic!("k{index} is lost"));
            assert_eq!(kv.value, value(index));
        }
        client.put("after", "1").await.unwrap();
    });
}

#[test]
fn a_read_only_disk_is_named() {
    let Some(disk) = Disk::mount(SMALL) else {
        return;
    };
    let mut process = Process::start_in(disk.path(), &[]);
    process.child().terminate();
    process.child().wait();
    disk.remount("ro");
    let arguments = own_place(disk.path(), "http://127.0.0.1:0");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut child = run_binary(&arguments, &[]);
    assert_eq!(child.wait().code(), Some(1));
    let lines = child.lines();
    let reason = lines
        .iter()
        .find(|line| line.starts_with("conclave: "))
        .unwrap();
    assert!(reason.contains(disk.path().to_str().unwrap()), "{reason}");
}

/// Writes until a write fails; returns how many were acknowledged.
async fn fill(endpoint: String) -> usize {
    let client = Client::connect([endpoint]).await.unwrap();
    for index in 0.. {
        let put = client.put(format!("k{index}"), value(index));
        if within("an answer", put).await.is_err() {
            return index;
        }
    }
    unreachable!("no disk holds that much")
}

/// A value that cannot be compressed.
fn value(index: usize) -> Vec<u8> {
    (0..VALUE_BYTES)
        .map(|at| (at * at / 7 + index) as u8)
        .collect()
}
