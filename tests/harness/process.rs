//! The real binary, with its own data directory.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::child::Child;

/// The line the binary logs once per client listener when it serves.
pub const READY: &str = "ready to serve client requests";

/// A running `conclave`.
#[derive(Debug)]
pub struct Process {
    child: Child,
    endpoint: String,
    data_dir: PathBuf,
    flags: Vec<String>,
    _owned_dir: Option<TempDir>,
}

impl Process {
    /// Starts a process on a fresh directory, with these additional flags, and waits until it
    /// serves.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_at("http://127.0.0.1:0", flags)
    }

    /// The same with another client URL, whose port it keeps when it is restarted.
    pub fn start_at(client_url: &str, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut process = Self::start_with(dir.path(), client_url, flags);
        process._owned_dir = Some(dir);
        process
    }

    /// Starts a process on the caller's directory.
    pub fn start_in(data_dir: &Path, flags: &[&str]) -> Self {
        Self::start_with(data_dir, "http://127.0.0.1:0", flags)
    }

    fn start_with(data_dir: &Path, client_url: &str, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let (child, endpoint) = serve(data_dir, client_url, &flags);
        Self {
            child,
            endpoint,
            data_dir: data_dir.to_owned(),
            flags,
            _owned_dir: None,
        }
    }

    /// The client URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Starts the binary again on the same data and port. The previous process must have ended.
    pub fn restart(&mut self) {
        assert!(!self.child.is_running(), "one of them at a time");
        (self.child, self.endpoint) = serve(&self.data_dir, &self.endpoint, &self.flags);
    }

    /// Kills the process and starts it again.
    pub fn kill_and_restart(&mut self) {
        self.child.kill();
        self.restart();
    }
}

/// Runs the binary with exactly these arguments.
pub fn run_binary(arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    Child::spawn(binary(), arguments, environment)
}

/// The flags that give a member its own directory and ports.
pub fn own_place(data_dir: &Path, client_url: &str) -> Vec<String> {
    let data_dir = data_dir.to_str().expect("a temporary path is text");
    vec![
        format!("--data-dir={data_dir}"),
        format!("--listen-client-urls={client_url}"),
        format!("--advertise-client-urls={client_url}"),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--log-format=json".to_owned(),
    ]
}

fn serve(data_dir: &Path, client_url: &str, flags: &[String]) -> (Child, String) {
    let mut arguments = own_place(data_dir, client_url);
    arguments.extend_from_slice(flags);
    let mut child = Child::spawn(binary(), &arguments, &[]);
    match child.line(READY) {
        Some(line) => {
            let endpoint = endpoint_in(&line);
            (child, endpoint)
        }
        None => {
            let status = child.wait();
            panic!("conclave did not start ({status}): {:#?}", child.lines());
        }
    }
}

/// The URL of the listener that a log line announces, with its actual address.
pub fn endpoint_in(line: &str) -> String {
    let url = field(line, "url");
    let (scheme, _) = url.split_once("://").expect("a URL has a scheme");
    format!("{scheme}://{}", address_in(line))
}

/// The address in a log line that announces a listener.
pub fn address_in(line: &str) -> String {
    field(line, "address")
}

fn field(line: &str, name: &str) -> String {
    let fields: serde_json::Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is not JSON: {error}"));
    let text = fields[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {line}"))
        .to_owned()
}

/// Path of the `conclave` binary, next to this test binary's directory.
pub fn binary() -> PathBuf {
    static CHECK: Once = Once::new();
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests run in target/<profile>/deps");
    let binary = profile.join("conclave");
    CHECK.call_once(|| check_is_current(&binary));
    binary
}

/// Cargo does not build the binary for the tests of another package, so without this check the
/// tests could run against a stale one.
fn check_is_current(binary: &Path) {
    const ADVICE: &str = "run `cargo build --release --workspace --bin conclave` first";
    let Some(built) = modified(binary) else {
        panic!("{} does not exist: {ADVICE}", binary.display());
    };
    let sources = std::fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    for source in sources.split_whitespace().skip(1) {
        let newer = modified(Path::new(source)).is_some_and(|changed| changed > built);
        assert!(
            !newer,
            "{} is older than {source}: {ADVICE}",
            binary.display()
        );
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}
