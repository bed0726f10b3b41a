//! A disk that fills up: the member stops or refuses, and what it had acknowledged is there once
//! there is room again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use conclave_client::Client;
use harness::{Process, within};

const SMALL: &str = "size=48m";
const LARGE: &str = "size=512m";
const VALUE_BYTES: usize = 256 << 10;

#[test]
fn nothing_acknowledged_is_lost_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(dir.path()) else {
        eprintln!("skipped: this user may not mount a tmpfs, so there is no disk to fill");
        return;
    };
    let mut process = Process::start_in(&disk.path, &[]);
    let acknowledged = harness::run(fill(process.endpoint().to_owned()));
    assert!(acknowledged > 0, "something fits");
    process.child().kill();
    disk.grow();
    process.restart();
    harness::run(async {
        let client = Client::connect([process.endpoint()]).await.unwrap();
        for index in 0..acknowledged {
            let kv = client.get(format!("k{index}")).await.unwrap();
            assert_eq!(
                kv.unwrap_or_else(|| panic!("k{index} is lost")).value.len(),
                VALUE_BYTES
            );
        }
        client.put("after", "1").await.unwrap();
    });
}

/// Writes until that fails; returns how many were acknowledged.
async fn fill(endpoint: String) -> usize {
    let client = Client::connect([endpoint]).await.unwrap();
    for index in 0.. {
        let value: Vec<u8> = (0..VALUE_BYTES)
            .map(|at| (at * at / 7 + index) as u8)
            .collect();
        if within("an answer", client.put(format!("k{index}"), value))
            .await
            .is_err()
        {
            return index;
        }
    }
    unreachable!("no disk holds that much")
}

/// A file system in memory, of a size.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(path: &Path) -> Option<Self> {
        let path = path.to_owned();
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", SMALL, "tmpfs", path.to_str()?],
        );
        mounted.then_some(Self { path })
    }

    fn grow(&self) {
        let options = format!("remount,{LARGE}");
        assert!(run("mount", &["-o", &options, self.path.to_str().unwrap()]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because a process that is about to end may hold files still.
        run("umount", &["-l", self.path.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let quietly = Command::new(program)
        .args(arguments)
        .stderr(Stdio::null())
        .status();
    quietly.is_ok_and(|status| status.success())
}
