//! `--log-outputs`.

use std::fs;
use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb::kv_client::KvClient;
use harness::Process;
use harness::api::put;
use harness::node::connect;
use harness::process::{READY, binary, endpoint_in, own_place, run_binary};
use tempfile::TempDir;

#[test]
fn a_file_is_appended_to_beside_other_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("conclave.log");
    fs::write(&file, "what was there\n").unwrap();
    let outputs = format!("--log-outputs={},stderr", file.display());
    let mut process = Process::start(&[&outputs]);
    process.child().terminate();
    assert!(process.child().wait().success());
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "what was there");
    // Both files have the same events, in complete lines.
    let message = |line: &str| -> String {
        let fields: serde_json::Value = serde_json::from_str(line).unwrap();
        fields["msg"].as_str().unwrap().to_owned()
    };
    let in_file: Vec<String> = lines[1..].iter().map(|line| message(line)).collect();
    let beside: Vec<String> = process
        .child()
        .lines()
        .iter()
        .map(|line| message(line))
        .collect();
    assert_eq!(in_file, beside);
    assert!(
        text.contains(READY) && text.contains("\"stopped\""),
        "{text}"
    );
}

#[test]
fn a_file_may_be_the_only_output() {
    let dir = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let file = dir.path().join("conclave.log");
    let mut arguments = own_place(data.path(), "http://127.0.0.1:0");
    arguments.push(format!("--log-outputs={}", file.display()));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut child = run_binary(&arguments, &[]);
    harness::run(async {
        harness::eventually("the member to be ready", || async {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.contains(READY).then_some(())
        })
        .await;
    });
    child.terminate();
    assert!(child.wait().success());
    assert_eq!(child.lines(), Vec::<String>::new());
}

/// As tools do that rotate logs without notifying the process.
#[test]
fn a_file_that_was_cut_is_written_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("conclave.log");
    let outputs = format!("--log-outputs={},stderr", file.display());
    let mut process = Process::start(&[&outputs]);
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(&file)
        .unwrap();
    process.child().terminate();
    assert!(process.child().wait().success());
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with('{') && text.contains("\"stopped\""),
        "{text}"
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nowhere/conclave.log");
    let outputs = format!("--log-outputs={}", file.display());
    let mut child = run_binary(&[&outputs], &[]);
    assert_eq!(child.wait().code(), Some(1));
    let expected = format!("conclave: cannot write the log to {}: ", file.display());
    let lines = child.lines();
    assert!(
        lines.len() == 1 && lines[0].starts_with(&expected),
        "{lines:#?}"
    );
}

/// A member whose standard error is a full pipe, with a log file beside it.
struct Muted {
    child: KilledOnDrop,
    reader: PipeReader,
    log: PathBuf,
    _dir: TempDir,
}

struct KilledOnDrop(std::process::Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Muted {
    /// Starts the member and writes some keys.
    async fn serve() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("conclave.log");
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(&[b'\n'; PIPE_BYTES]).unwrap();
        let mut arguments = own_place(&dir.path().join("data"), "http://127.0.0.1:0");
        arguments.push(format!("--log-outputs=stderr,{}", log.display()));
        arguments.push("--audit-log=stderr".to_owned());
        arguments.push("--audit-level=all".to_owned());
        let mut command = Command::new(binary());
        let child = command.args(&arguments).stderr(writer).spawn().unwrap();
        drop(command);
        let member = Self {
            child: KilledOnDrop(child),
            reader,
            log,
            _dir: dir,
        };
        let endpoint = harness::eventually("the member to be ready", || async {
            let text = fs::read_to_string(&member.log).unwrap_or_default();
            let line = text.lines().find(|line| line.contains(READY));
            line.map(endpoint_in)
        })
        .await;
        let mut kv = KvClient::new(connect(&endpoint));
        for _ in 0..100 {
            harness::within("an answer", kv.put(put("k", "v")))
                .await
                .unwrap();
        }
        member
    }

    fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.0.id().to_string();
        let sent = Command::new("kill").arg(pid).status().unwrap();
        assert!(sent.success());
        self.child.0.wait().unwrap()
    }
}

/// As many as fit into a pipe.
const PIPE_BYTES: usize = 64 << 10;

#[test]
fn a_reader_that_hangs_stops_neither_calls_nor_the_end() {
    harness::run(async {
        let mut member = Muted::serve().await;
        let ending = Instant::now();
        assert!(member.terminate().success());
        assert!(ending.elapsed() < Duration::from_secs(30));
        let text = fs::read_to_string(&member.log).unwrap();
        assert!(text.ends_with("\"stopped\"}\n"), "{text}");
    });
}

#[test]
fn a_reader_that_goes_on_gets_all_lines() {
    harness::run(async {
        let mut member = Muted::serve().await;
        let mut reader = member.reader.try_clone().unwrap();
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        assert!(member.terminate().success());
        let text = reading.join().unwrap();
        let is_of_log = |line: &&str| line.starts_with("{\"level\"");
        let lines: Vec<_> = text.lines().filter(is_of_log).collect();
        let beside = fs::read_to_string(&member.log).unwrap();
        assert_eq!(lines.len(), beside.lines().count());
        assert!(lines[lines.len() - 1].contains("\"stopped\""), "{text}");
        let audited = text.lines().filter(|line| line.contains("KV/Put"));
        assert_eq!(audited.count(), 100);
    });
}
