//! On-disk formats: a directory of every format that is read answers alike, and a conversion loses
//! nothing when it is killed, runs out of disk or meets damage.
//!
//! `golden/` has a directory of each format, made by a member of that format with the same changes
//! ([`sequence`]), and `answers.txt`, the answers that a member must give on each of them
//! ([`answers`]). With `UPDATE_GOLDEN=1` in the environment the test makes the directory of the
//! binary's format and `answers.txt` again. So only a binary of format 1 would write `format-1`.
//!
//! The other tests need more data than should be checked in. They make a directory of the current
//! format and undo its conversion.

use std::fs;
use std::path::{Path, PathBuf};

use conclave_client::Client;
use conclave_proto::etcdserverpb as pb;
use harness::api::{all, delete, everything, op, put, revision_of};
use harness::child::Child;
use harness::damage::{flip_bits, largest};
use harness::disk::Disk;
use harness::formats::{bytes_on_disk, copy_directory, format_record, to_format_1};
use harness::node::connect;
use harness::process::{READY, endpoint_in, own_place, run_binary};
use harness::{Process, ServiceManager, eventually, variable, within};
use pb::kv_client::KvClient;
use pb::maintenance_client::MaintenanceClient;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use tempfile::TempDir;

mod answers;
mod sequence;

const FORMATS: [&str; 2] = ["format-1", "format-2"];
const CURRENT: &str = "conclave format 2\n";
const CONVERTING: &str = "converting the data to the current format";
/// The beginning of the record of the format while a conversion from format 1 is under way.
const UNDER_WAY: &[u8] = &1_u32.to_be_bytes();

const MIB: u64 = 1 << 20;
/// Used without `CONCLAVE_TEST_SEED`.
const SEED: u64 = 1;
/// The conversion of a large directory writes 54 MiB, in parts of 24 MiB, which is the size of a
/// memtable. A crash loses what is in the memtable.
const LARGE_KEYS: usize = 30_000;
const LARGE_VALUE: usize = 2_000;
/// Bytes that a conversion has written when it is half-way, between two parts.
const HALF_WAY: u64 = 36 * MIB;
/// The most that a conversion has written when it is killed at random: some kills come before the
/// first part is on the disk, and some after it, so that a start gets through in the end.
const KILLED_BY: u64 = 30 * MIB;
const KILLS_MAX: usize = 100;

#[test]
fn every_format_answers_alike() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return update();
    }
    let expected = fs::read_to_string(golden("answers.txt")).unwrap();
    for format in FORMATS {
        let dir = copy_of_golden(format);
        let mut process = Process::start_in(dir.path(), &[]);
        let version = fs::read_to_string(dir.path().join("member/VERSION"));
        assert_eq!(version.unwrap(), CURRENT);
        let answers = harness::run(answers::ask(process.endpoint()));
        assert_same(&expected, &answers, format);
        process.kill_and_restart();
        let answers = harness::run(answers::ask(process.endpoint()));
        assert_same(&expected, &answers, &format!("{format}, started again"));
    }
}

/// The manager must not end a member because its data is large.
#[test]
fn a_conversion_asks_for_time_to_start() {
    let (manager, dir) = (ServiceManager::new(), copy_of_golden("format-1"));
    let place = own_place(dir.path(), "http://127.0.0.1:0");
    let arguments: Vec<&str> = place.iter().map(String::as_str).collect();
    let _child = run_binary(&arguments, &manager.environment());
    let first = manager.hears_of("EXTEND_TIMEOUT_USEC=60000000");
    assert!(!first.contains("waiting for a leader"), "{first}");
    manager.hears_of("READY=1");
}

/// Makes the directory of the binary's format, and the answers.
fn update() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start_in(dir.path(), &[]);
    harness::run(async {
        let client = Client::connect([process.endpoint()]).await.unwrap();
        sequence::before_the_stop(&client).await;
    });
    process.child().terminate();
    assert!(process.child().wait().success());
    process.restart();
    harness::run(async {
        let client = Client::connect([process.endpoint()]).await.unwrap();
        sequence::after_the_stop(&client).await;
    });
    process.child().kill();
    let version = fs::read_to_string(dir.path().join("member/VERSION")).unwrap();
    let number = version.trim_end().strip_prefix("conclave format ").unwrap();
    let target = golden(&format!("format-{number}"));
    if target.exists() {
        fs::remove_dir_all(&target).unwrap();
    }
    copy_directory(dir.path(), &target, is_made_by_every_start);
    process.restart();
    let answers = harness::run(answers::ask(process.endpoint()));
    fs::write(golden("answers.txt"), answers).unwrap();
}

/// True for the files that RocksDB makes whenever it opens a store.
fn is_made_by_every_start(name: &str) -> bool {
    name == "LOCK" || name.starts_with("LOG") || name.starts_with("OPTIONS-")
}

fn golden(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.join("process/golden").join(name)
}

fn copy_of_golden(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_directory(&golden(name), dir.path(), |_| false);
    dir
}

#[track_caller]
fn assert_same(expected: &str, answers: &str, what: &str) {
    let pairs = expected.lines().zip(answers.lines()).enumerate();
    for (number, (expected, answer)) in pairs {
        assert_eq!(answer, expected, "{what}: line {}", number + 1);
    }
    assert_eq!(answers.len(), expected.len(), "{what}: more or less lines");
}

/// Conversions are killed at random points until one start gets through.
#[test]
fn a_conversion_survives_kills() {
    let dir = tempfile::tempdir().unwrap();
    let before = large_of_format_1(dir.path());
    kill_half_way(dir.path());
    let seed = variable("CONCLAVE_TEST_SEED").unwrap_or(SEED);
    let mut random = StdRng::seed_from_u64(seed);
    for kills in 1..KILLS_MAX {
        let bytes = random.random_range(0..KILLED_BY);
        if let Some((_child, endpoint)) = kill_when_written(dir.path(), bytes) {
            eprintln!("seed {seed}: {kills} kills");
            return assert_is_kept(&before, &endpoint);
        }
    }
    panic!("seed {seed}: none of {KILLS_MAX} starts got through");
}

/// Kills a conversion so that it leaves a state of which a part is converted. On a busy machine the
/// kill may come too late.
fn kill_half_way(data_dir: &Path) {
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        let served = kill_when_written(data_dir, HALF_WAY);
        drop(served);
        if is_half_way(data_dir) {
            return;
        }
        to_format_1(data_dir);
    }
    panic!("no conversion was killed half-way in {ATTEMPTS} attempts");
}

/// Starts a member and kills it when its conversion has written this much to the disk. Returns the
/// member and its client URL if it serves before.
fn kill_when_written(data_dir: &Path, bytes: u64) -> Option<(Child, String)> {
    let state = data_dir.join("member/state");
    let size = bytes_on_disk(&state);
    let mut child = start(data_dir);
    let serves = harness::run(eventually("a conversion", || async {
        let lines = child.lines();
        let line = |part| lines.iter().find(|line| line.contains(part));
        if let Some(line) = line(READY) {
            return Some(Some(endpoint_in(line)));
        }
        let written = bytes_on_disk(&state).saturating_sub(size);
        (line(CONVERTING).is_some() && written >= bytes).then_some(None)
    }));
    if serves.is_none() {
        child.kill();
    }
    serves.map(|endpoint| (child, endpoint))
}

/// Two failures in a row: no room for anything, and room for a part of the data.
#[test]
fn a_conversion_that_fills_the_disk_goes_on_with_more_room() {
    const ROOMY: &str = "size=1g";
    let Some(disk) = Disk::mount(ROOMY) else {
        return;
    };
    let before = large_of_format_1(disk.path());
    let member = disk.path().join("member");
    let used = bytes_on_disk(disk.path());
    for room in [0, HALF_WAY] {
        disk.remount(&format!("size={}", used + room));
        refused(&mut start(disk.path()), "No space left on device", &member);
    }
    disk.remount(ROOMY);
    assert!(is_half_way(disk.path()));
    let process = Process::start_in(disk.path(), &[]);
    assert_is_kept(&before, process.endpoint());
}

/// The conversion reads all values that it moves, so it finds damage of most tables. It removes no
/// file: when the damage is undone, all keys are there.
#[test]
fn a_damaged_directory_of_format_1_never_answers_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let before = of_format_1(dir.path(), 3_000, 1_000);
    let table = largest(&dir.path().join("member/state"), "sst");
    flip_bits(&table);
    let mut child = start(dir.path());
    match child.line(READY) {
        Some(line) => {
            let reply = harness::run(range_at(&endpoint_in(&line), 0));
            assert!(reply.is_err(), "damaged data was served");
            child.kill();
        }
        None => refused(&mut child, "damaged data", &dir.path().join("member/state")),
    }
    // Flips the same bits back.
    flip_bits(&table);
    let process = Process::start_in(dir.path(), &[]);
    assert_is_kept(&before, process.endpoint());
}

/// The answers of a member on a large directory.
#[derive(PartialEq)]
struct Answers {
    /// The last revision, and one at which most versions have been superseded since.
    revisions: [i64; 2],
    ranges: [pb::RangeResponse; 2],
    hash: u32,
}

#[track_caller]
fn assert_is_kept(before: &Answers, endpoint: &str) {
    let after = harness::run(read(endpoint, before.revisions));
    // Too large to be printed.
    assert!(after == *before, "the answers have changed");
}

async fn read(endpoint: &str, revisions: [i64; 2]) -> Answers {
    let mut ranges = Vec::new();
    for revision in revisions {
        let mut range = range_at(endpoint, revision).await.unwrap();
        assert_eq!(revision_of(&range.header), revisions[0]);
        // The header has the term, which is another one after each start.
        range.header = None;
        ranges.push(range);
    }
    let [revision, _] = revisions;
    let mut maintenance = MaintenanceClient::new(connect(endpoint));
    let hash = maintenance.hash_kv(pb::HashKvRequest { revision });
    let hash = within("a hash", hash).await.unwrap().into_inner().hash;
    Answers {
        revisions,
        ranges: ranges.try_into().expect("one for each revision"),
        hash,
    }
}

async fn range_at(endpoint: &str, revision: i64) -> Result<pb::RangeResponse, tonic::Status> {
    let request = pb::RangeRequest {
        revision,
        ..everything()
    };
    let kv = KvClient::new(connect(endpoint));
    let mut kv = kv.max_decoding_message_size(usize::MAX);
    let reply = within("a range", kv.range(request)).await;
    reply.map(tonic::Response::into_inner)
}

fn large_of_format_1(data_dir: &Path) -> Answers {
    of_format_1(data_dir, LARGE_KEYS, LARGE_VALUE)
}

/// Makes a directory of format 1, left by a member that stopped, with a superseded version of every
/// key. Every tenth key was deleted.
fn of_format_1(data_dir: &Path, keys: usize, value_length: usize) -> Answers {
    let mut process = Process::start_in(data_dir, &[]);
    let endpoint = process.endpoint();
    let answers = harness::run(async {
        let mut random = StdRng::seed_from_u64(SEED);
        let old = txns(endpoint, keys, |key, _| op(put(key, "first"))).await;
        let last = txns(endpoint, keys, |key, number| {
            if number % 10 == 0 {
                return op(delete(key));
            }
            // Cannot be compressed.
            let mut value = vec![0; value_length];
            random.fill_bytes(&mut value);
            op(put(key, value))
        });
        let last = last.await;
        read(endpoint, [last, old]).await
    });
    process.child().terminate();
    assert!(process.child().wait().success());
    to_format_1(data_dir);
    assert_eq!(format_record(data_dir), None);
    answers
}

/// Changes this many keys, many in a revision, and returns the last revision.
async fn txns(
    endpoint: &str,
    keys: usize,
    mut change: impl FnMut(Vec<u8>, usize) -> pb::RequestOp,
) -> i64 {
    const IN_A_TXN: usize = 100;
    let mut kv = KvClient::new(connect(endpoint));
    let mut revision = 0;
    for first in (0..keys).step_by(IN_A_TXN) {
        let numbers = first..keys.min(first + IN_A_TXN);
        // A third of the keys have a zero byte, which is escaped in the space `kv`.
        let changes = numbers.map(|number| {
            let key = format!("k{}{number:05}", char::from((number % 3) as u8));
            change(key.into_bytes(), number)
        });
        let reply = within("a txn", kv.txn(all(changes))).await.unwrap();
        revision = revision_of(&reply.into_inner().header);
    }
    revision
}

/// True if the state of a stopped member is converted in part.
fn is_half_way(data_dir: &Path) -> bool {
    let record = format_record(data_dir);
    let row = record
        .as_deref()
        .and_then(|record| record.strip_prefix(UNDER_WAY));
    row.is_some_and(|row| !row.is_empty())
}

/// Waits until a member has ended with an error that names its reason and its place.
#[track_caller]
fn refused(child: &mut Child, reason: &str, place: &Path) {
    let status = child.wait();
    let lines = child.lines();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    let line = lines.iter().find(|line| line.starts_with("conclave: "));
    let line = line.expect("the last line is the reason");
    let place = place.to_str().expect("UTF-8");
    assert!(line.contains(reason) && line.contains(place), "{line}");
}

fn start(data_dir: &Path) -> Child {
    let arguments = own_place(data_dir, "http://127.0.0.1:0");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    run_binary(&arguments, &[])
}
