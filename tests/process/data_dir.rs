//! Data directories that cannot be used: the process prints the reason in one line, exits with 1,
//! and never serves.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use conclave_client::{Client, Keys};
use conclave_proto::etcdserverpb::StatusRequest;
use conclave_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use harness::damage::{flip_bits, largest};
use harness::process::{own_place, run_binary};
use harness::{Etcd, Process};
use tonic::transport::Endpoint;

#[test]
fn another_version_is_named() {
    let dir = stopped_member(1, 10);
    fs::write(dir.path().join("member/VERSION"), "conclave format 999\n").unwrap();
    let text = refusal(dir.path());
    assert!(text.contains("format version 999"), "{text}");
}

#[test]
fn a_version_that_is_no_number_is_named() {
    let dir = stopped_member(1, 10);
    fs::write(dir.path().join("member/VERSION"), "garbage").unwrap();
    assert!(refusal(dir.path()).contains("VERSION"));
}

/// The most likely mistake of an operator who migrates from etcd.
#[test]
fn a_directory_of_etcd_is_left_alone() {
    let mut etcd = Etcd::start(&[]);
    etcd.kill();
    let text = refusal(etcd.data_dir());
    assert!(text.contains("data of etcd"), "{text}");
    assert!(!etcd.data_dir().join("member/VERSION").exists());
}

#[test]
fn a_directory_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Process::start_in(dir.path(), &[]);
    let text = refusal(dir.path());
    assert!(text.contains("in use by another process"), "{text}");
    assert!(first.child().is_running(), "the first is not disturbed");
}

#[test]
fn a_file_in_its_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    fs::write(&path, "a file").unwrap();
    let text = refusal(&path);
    assert!(text.contains(path.to_str().unwrap()), "{text}");
}

#[test]
fn a_file_below_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("member"), "a file").unwrap();
    let text = refusal(dir.path());
    assert!(text.contains("member"), "{text}");
}

/// The data is as secret as the clients' keys and values.
#[test]
fn only_its_user_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    let wal_dir = format!("--wal-dir={}", log.display());
    let mut process = Process::start_in(&data, &[&wal_dir]);
    let made = [&data, &data.join("member"), &log];
    for folder in made {
        let mode = fs::metadata(folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
    // A directory that the operator made accessible on purpose only gets a warning.
    for folder in made {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    process.kill_and_restart();
    let lines = process.child().lines();
    let told = lines.iter().filter(|line| line.contains("chmod 700"));
    assert_eq!(told.count(), 2, "{lines:#?}");
}

/// Bits flipped in the middle of the log, in entries that are stored nowhere else.
#[test]
fn a_damaged_log_is_refused() {
    let dir = killed_member(300, 1_000);
    flip_bits(&largest(&dir.path().join("member/log"), "log"));
    let text = refusal(dir.path());
    assert!(text.contains("member/log"), "{text}");
}

/// A log that ends in the middle of a record was being written when power failed: no damage.
#[test]
fn a_torn_tail_of_the_log_is_no_damage() {
    let dir = killed_member(50, 100);
    let log = largest(&dir.path().join("member/log"), "log");
    let mut bytes = fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes.truncate(end - 3);
    fs::write(&log, bytes).unwrap();
    harness::run(async {
        let process = Process::start_in(dir.path(), &[]);
        let client = Client::connect([process.endpoint()]).await.unwrap();
        let count = client.range(Keys::prefix("k")).await.unwrap().count;
        assert!(count >= 49, "{count} of 50");
    });
}

/// Damage of the state shows when the damaged part is read, at the latest: the read returns an
/// error, never a wrong value.
#[test]
fn a_damaged_state_never_answers_wrong() {
    let dir = stopped_member(3_000, 1_000);
    flip_bits(&largest(&dir.path().join("member/state"), "sst"));
    let arguments = own_place(dir.path(), "http://127.0.0.1:0");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut child = run_binary(&arguments, &[]);
    let Some(line) = child.line("ready to serve client requests") else {
        assert_eq!(child.wait().code(), Some(1), "{:#?}", child.lines());
        return;
    };
    let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
    let endpoint = format!("http://{}", fields["address"].as_str().unwrap());
    harness::run(async {
        let client = Client::connect([endpoint]).await.unwrap();
        let outcome = client.range(Keys::prefix("k")).await;
        assert!(
            outcome.is_err(),
            "damaged data was served: {} keys",
            outcome.unwrap().count
        );
    });
}

#[test]
fn a_missing_log_is_refused() {
    let dir = stopped_member(100, 100);
    fs::remove_dir_all(dir.path().join("member/log")).unwrap();
    let text = refusal(dir.path());
    assert!(text.contains("the log was lost"), "{text}");
    assert!(text.contains("remove this one from the cluster"), "{text}");
}

/// A log and a state of two members, each intact.
#[test]
fn a_log_of_another_cluster_is_refused() {
    let dir = stopped_member(100, 100);
    let (other, mut process) = written_by(&["--initial-cluster-token=other"], 200, 100);
    process.child().terminate();
    assert!(process.child().wait().success());
    let log = other.path().join("member/log");
    let text = refusal_with(dir.path(), &[&format!("--wal-dir={}", log.display())]);
    assert!(text.contains("they are of two members"), "{text}");
    // Neither member has lost data.
    for (dir, count) in [(dir, 100), (other, 200)] {
        harness::run(async {
            let process = Process::start_in(dir.path(), &[]);
            let client = Client::connect([process.endpoint()]).await.unwrap();
            assert_eq!(client.range(Keys::prefix("k")).await.unwrap().count, count);
        });
    }
}

/// A second process whose log is elsewhere is refused, too, before it cleans up the directory.
#[test]
fn a_directory_in_use_is_not_tidied_up() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut first = Process::start_in(dir.path(), &[]);
    // Like a snapshot that is being received.
    let arriving = dir.path().join("member/state.9.7");
    fs::create_dir(&arriving).unwrap();
    let log = format!("--wal-dir={}", elsewhere.path().join("log").display());
    let text = refusal_with(dir.path(), &[&log]);
    assert!(text.contains("in use by another process"), "{text}");
    assert!(arriving.exists());
    assert!(first.child().is_running(), "the first is not disturbed");
}

/// The directory identifies the member. The flags about the founding of its cluster may be outdated
/// when it restarts.
#[test]
fn a_member_that_has_run_keeps_its_identity() {
    let dir = stopped_member(1, 10);
    let mut known = None;
    for flag in [
        "--initial-cluster=another=http://127.0.0.1:1",
        "--initial-cluster=another=https://127.0.0.1:1",
        "--initial-advertise-peer-urls=http://127.0.0.1:1",
        "--initial-cluster-token=another",
        "--initial-cluster-state=existing",
        "--name=another",
    ] {
        let mut process = Process::start_in(dir.path(), &[flag]);
        let endpoint = process.endpoint().to_owned();
        let ids = harness::run(async {
            let channel = Endpoint::from_shared(endpoint).unwrap().connect_lazy();
            let mut stub = MaintenanceClient::new(channel);
            let status = stub.status(StatusRequest {}).await.unwrap().into_inner();
            let header = status.header.unwrap();
            (header.cluster_id, header.member_id, header.revision)
        });
        assert_eq!(*known.get_or_insert(ids), ids, "{flag}");
        process.child().terminate();
        assert!(process.child().wait().success());
    }
}

/// The state can be rebuilt from the log only if the log goes back far enough.
#[test]
fn a_missing_state_is_rebuilt_or_refused_but_not_forgotten() {
    let dir = stopped_member(100, 100);
    fs::remove_dir_all(dir.path().join("member/state")).unwrap();
    let arguments = own_place(dir.path(), "http://127.0.0.1:0");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut child = run_binary(&arguments, &[]);
    let Some(line) = child.line("ready to serve client requests") else {
        assert_eq!(child.wait().code(), Some(1), "{:#?}", child.lines());
        return;
    };
    let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
    let endpoint = format!("http://{}", fields["address"].as_str().unwrap());
    harness::run(async {
        let client = Client::connect([endpoint]).await.unwrap();
        assert_eq!(client.range(Keys::prefix("k")).await.unwrap().count, 100);
    });
}

/// A directory with `count` keys of `length` bytes, left by a process that stopped.
fn stopped_member(count: usize, length: usize) -> tempfile::TempDir {
    let (dir, mut process) = written(count, length);
    process.child().terminate();
    assert!(process.child().wait().success());
    dir
}

/// A directory with `count` keys of `length` bytes, left by a process that was killed.
fn killed_member(count: usize, length: usize) -> tempfile::TempDir {
    let (dir, mut process) = written(count, length);
    process.child().kill();
    dir
}

fn written(count: usize, length: usize) -> (tempfile::TempDir, Process) {
    written_by(&[], count, length)
}

fn written_by(flags: &[&str], count: usize, length: usize) -> (tempfile::TempDir, Process) {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start_in(dir.path(), flags);
    harness::run(async {
        let client = Client::connect([process.endpoint()]).await.unwrap();
        for index in 0..count {
            // Not compressible, so that the files have their full size.
            let value: Vec<u8> = (0..length).map(|at| (at * 31 + index * 17) as u8).collect();
            client.put(format!("k{index:05}"), value).await.unwrap();
        }
    });
    (dir, process)
}

/// Starts on the directory, which must be refused; returns the line with the reason.
fn refusal(data_dir: &Path) -> String {
    refusal_with(data_dir, &[])
}

fn refusal_with(data_dir: &Path, flags: &[&str]) -> String {
    let arguments = own_place(data_dir, "http://127.0.0.1:0");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let arguments = [&arguments, flags].concat();
    let mut child = run_binary(&arguments, &[]);
    let code = child.wait().code();
    let lines = child.lines();
    assert_eq!(code, Some(1), "{lines:#?}");
    assert!(
        lines.iter().all(|line| !line.contains("panicked")),
        "{lines:#?}"
    );
    let reasons: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("conclave: "))
        .collect();
    assert_eq!(reasons.len(), 1, "{lines:#?}");
    reasons[0].clone()
}
