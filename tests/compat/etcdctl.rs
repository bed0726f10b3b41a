//! Debian's `etcdctl`, every verb that reads or writes keys, leases, locks and elections, against
//! Conclave and against etcd: the output and the exit status must be the same.
//!
//! [`Pair::same`] runs a command against both and compares. Values specific to a server (ids,
//! terms, addresses) are masked; see [`masked`]. [`endpoints`] tests endpoints in other forms than
//! `host:port`.

mod endpoints;
mod keys;
mod leases;
mod running;
mod servers;
mod users;

use std::io::Write as _;
use std::process::{Command, Stdio};

use harness::child::Child;
use harness::{Backend, Node};

const ETCDCTL: &str = "/usr/bin/etcdctl";

/// A command's output and exit status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Conclave and etcd, both fresh.
pub(crate) struct Pair {
    pub(crate) conclave: Node,
    pub(crate) etcd: Node,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        Self {
            conclave: Node::start(Backend::Process).await,
            etcd: Node::start(Backend::Etcd).await,
        }
    }

    /// Runs the command against both, which must agree; returns Conclave's output.
    #[track_caller]
    pub(crate) fn same(&self, command: &str) -> Said {
        self.same_with_input(command, "")
    }

    /// [`Pair::same`] with standard input.
    #[track_caller]
    pub(crate) fn same_with_input(&self, command: &str, input: &str) -> Said {
        same_at(self.conclave.address(), self.etcd.address(), command, input)
    }
}

/// [`Pair::same`] with the endpoint written in another form.
#[track_caller]
fn same_at(ours: &str, theirs: &str, command: &str, input: &str) -> Said {
    let [ours, theirs] =
        [ours, theirs].map(|endpoint| masked(etcdctl_at(endpoint, command, input), endpoint));
    assert_eq!(ours, theirs, "etcdctl {command}");
    ours
}

/// Runs the command against one server. Words are split at blanks; `''` is an empty word.
pub(crate) fn etcdctl(node: &Node, command: &str, input: &str) -> Said {
    etcdctl_at(node.address(), command, input)
}

/// [`etcdctl`] with the endpoint as given.
fn etcdctl_at(endpoint: &str, command: &str, input: &str) -> Said {
    let mut process = Command::new(ETCDCTL)
        .args(words(endpoint, command))
        .env("ETCDCTL_API", "3")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("etcdctl is installed");
    let mut stdin = process.stdin.take().expect("piped above");
    // A command that does not read its input may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = process
        .wait_with_output()
        .expect("a child can be waited for");
    Said {
        success: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Starts a command that runs until it is stopped.
pub(crate) fn start(node: &Node, command: &str) -> Child {
    start_at(node.address(), command)
}

/// [`start`] with the endpoint as given.
fn start_at(endpoint: &str, command: &str) -> Child {
    Child::spawn(ETCDCTL, &words(endpoint, command), &[("ETCDCTL_API", "3")])
}

fn words(endpoint: &str, command: &str) -> Vec<String> {
    let endpoint = format!("--endpoints={endpoint}");
    let words = command
        .split(' ')
        .map(|word| if word == "''" { "" } else { word }.to_owned());
    std::iter::once(endpoint).chain(words).collect()
}

/// Masks the values specific to a server: its address, its ids, its term, and the ids it chose.
fn masked(said: Said, endpoint: &str) -> Said {
    let mask = |text: String| {
        let text = text.replace(endpoint, "<address>");
        let lines = text
            .lines()
            .map(|line| mask_line(line).unwrap_or_else(|| line.to_owned()));
        lines.collect::<Vec<_>>().join("\n")
    };
    Said {
        success: said.success,
        out: mask(said.out),
        err: mask(said.err),
    }
}

fn mask_line(line: &str) -> Option<String> {
    let own = ["\"ClusterID\" :", "\"MemberID\" :", "\"RaftTerm\" :"];
    if let Some(name) = own.iter().find(|name| line.starts_with(*name)) {
        return Some(format!("{name} <own>"));
    }
    if line.starts_with('{') {
        let mut value: serde_json::Value = serde_json::from_str(line).ok()?;
        mask_json(&mut value);
        return Some(value.to_string());
    }
    // Ids chosen by a server are 16 hexadecimal digits.
    let is_id = |word: &&str| word.len() == 16 && word.chars().all(|c| c.is_ascii_hexdigit());
    let word = line
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(is_id)?;
    Some(line.replace(word, "<id>"))
}

fn mask_json(value: &mut serde_json::Value) {
    if let Some(fields) = value.as_object_mut() {
        for (name, field) in fields {
            match name.as_str() {
                "cluster_id" | "member_id" | "raft_term" => *field = "<own>".into(),
                // In the client's own log lines.
                "ts" | "target" => *field = "<own>".into(),
                _ => mask_json(field),
            }
        }
    }
}
