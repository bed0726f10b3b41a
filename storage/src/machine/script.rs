//! Golden scripts: the behaviour of the machine and its reader, written down as text.
//!
//! A script in `storage/scripts/` is a list of commands, each a line that begins with `> `,
//! followed by its output. Lines that begin with `#` give the reason for the script. The test runs
//! the commands and compares the output. With `UPDATE_SCRIPTS=1` in the environment it writes the
//! output to the script instead, to be reviewed as a diff.
//!
//! [`command`] parses commands, [`print`] formats output.

use std::collections::VecDeque;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::command::command::Body;
use conclave_proto::command::{Batch, Command, Header};
use conclave_proto::errors::ApiError;
use prost::Message;

use super::{Effects, Limits, Machine};
use crate::engine::memory::MemoryEngine;
use crate::ids::{Index, LeaseId, Revision, Term};
use crate::mvcc::range::KeyRange;
use crate::reader::Reader;

mod auth;
mod command;
mod print;

use command::Line;

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of scripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut changed = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a script");
        let now = run(&text);
        if now == text {
            continue;
        }
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            fs::write(&path, &now).expect("writing a script");
        } else {
            changed.push(format!(
                "{}\n{}",
                path.display(),
                first_difference(&text, &now)
            ));
        }
    }
    assert!(
        changed.is_empty(),
        "UPDATE_SCRIPTS=1 accepts:\n{}",
        changed.join("\n")
    );
}

fn first_difference(old: &str, new: &str) -> String {
    let mut lines = new.lines();
    let mut before = String::new();
    for line in old.lines() {
        let now = lines.next().unwrap_or("(end)");
        if line != now {
            return format!("  after:    {before}\n  expected: {line}\n  got:      {now}");
        }
        if line.starts_with("> ") {
            before = line.into();
        }
    }
    format!(
        "  after:    {before}\n  got more: {}",
        lines.next().unwrap_or_default()
    )
}

/// The script with the output it has now.
fn run(text: &str) -> String {
    let mut stage = Stage::new();
    let mut out = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(out, "{line}").expect("a string");
            stage.run(command::parse(command), &mut out);
        } else if line.starts_with('#') || line.trim().is_empty() {
            writeln!(out, "{line}").expect("a string");
        }
    }
    out
}

/// A machine on a disk in memory.
pub(super) struct Stage {
    pub(super) engine: MemoryEngine,
    pub(super) machine: Machine,
    pub(super) reader: Reader,
    index: Index,
    /// True if entries wait for the command `commit`.
    held: bool,
}

impl Stage {
    pub(super) fn new() -> Stage {
        Stage::on(MemoryEngine::new())
    }

    pub(super) fn on(engine: MemoryEngine) -> Stage {
        let (machine, reader) =
            Machine::open(Arc::new(engine.clone()), Limits::default()).expect("opens");
        let index = reader.applied().index;
        Stage {
            engine,
            machine,
            reader,
            index,
            held: false,
        }
    }

    fn run(&mut self, line: Line, out: &mut String) {
        match line {
            Line::Entry(bodies) => self.entry(bodies, out),
            Line::InTheName(header, body) => self.in_the_name_of(&header, body, out),
            Line::Noop => {
                self.index = self.index.next();
                self.machine
                    .apply(self.index, Term(1), &Bytes::new())
                    .expect("applies");
                self.commit_unless_held(out);
            }
            Line::Member(change) => {
                self.index = self.index.next();
                let header = Header::default();
                let done = self
                    .machine
                    .apply_member(self.index, Term(1), header, change);
                print::outcome(out, &done.outcome);
                self.commit_unless_held(out);
            }
            Line::Hold => self.held = true,
            Line::Commit => {
                self.held = false;
                self.commit_unless_held(out);
            }
            Line::Reopen => *self = Stage::on(self.engine.clone()),
            Line::Crash(kept) => *self = Stage::on(self.engine.crash_keeping(kept)),
            Line::Step(rows) => {
                self.machine.limits.compaction_rows = rows;
                let more = self.machine.compact_step().expect("steps");
                out.push_str(if more { "more\n" } else { "done\n" });
            }
            Line::Get(request) => print::range(out, self.reader.range(&request)),
            Line::ReadTxn(request) => print::txn(out, self.reader.txn(&request)),
            Line::Stream(request, max_bytes) => {
                let mut cursor = self.reader.range_stream(&request).expect("begins");
                while !cursor.is_finished() {
                    let piece = self.reader.range_stream_step(&mut cursor, max_bytes);
                    print::range(out, piece);
                }
            }
            Line::History(from, through, max_bytes) => {
                let (from, through) = (Revision(from), Revision(through));
                print::history(out, self.reader.history(from, through, max_bytes));
            }
            Line::KeyAt(key, revision) => {
                print::key_at(out, self.reader.key_at(&key, Revision(revision)));
            }
            Line::Hash(revision) => print::hash(out, self.reader.hash_kv(revision)),
            Line::Lease(id) => {
                let lease = self.reader.lease(LeaseId(id)).expect("reads");
                let keys = self.reader.lease_keys(LeaseId(id)).expect("reads");
                print::lease(out, lease.as_ref(), &keys);
            }
            Line::Leases(after, max) => {
                for lease in self.reader.leases_after(after, max).expect("reads") {
                    print::lease(out, Some(&lease), &[]);
                }
            }
            Line::Status => print::status(out, &self.reader),
            Line::Dump(space) => print::dump(out, &self.engine, space),
            Line::Auth => print::auth(out, &self.reader.auth()),
            Line::May(user, writes, range) => print::may(out, self.may(&user, writes, &range)),
        }
    }

    /// Applies an entry of one command with this header.
    fn in_the_name_of(&mut self, header: &Header, body: Body, out: &mut String) {
        self.index = self.index.next();
        let entry = entry_of(header, vec![body]);
        let done = self.machine.apply(self.index, Term(1), &entry);
        print::outcome(out, &done.expect("applies")[0].outcome);
        self.commit_unless_held(out);
    }

    fn may(&self, user: &str, writes: bool, range: &KeyRange) -> Result<(), ApiError> {
        let auth = self.reader.auth();
        let permits = auth.permits_now(user)?;
        match writes {
            true => permits.write(range),
            false => permits.read(range),
        }
    }

    fn entry(&mut self, bodies: Vec<Body>, out: &mut String) {
        for outcome in self.apply(bodies) {
            print::outcome(out, &outcome);
        }
        self.commit_unless_held(out);
    }

    /// Applies one entry.
    pub(super) fn apply(&mut self, bodies: Vec<Body>) -> VecDeque<super::Outcome> {
        self.index = self.index.next();
        let payload = payload(bodies);
        let done = self.machine.apply(self.index, Term(1), &payload);
        let done = done.expect("applies").into_iter();
        done.map(|done| done.outcome).collect()
    }

    /// Sets the index of the log, for tests that apply entries to the machine directly.
    pub(super) fn set_index(&mut self, index: Index) {
        self.index = index;
    }

    pub(super) fn commit(&mut self) -> Effects {
        self.machine.commit().expect("commits")
    }

    fn commit_unless_held(&mut self, out: &mut String) {
        if !self.held {
            print::effects(out, &self.commit());
        }
    }
}

/// An entry of the log with these commands.
pub(super) fn payload(bodies: Vec<Body>) -> Bytes {
    let header = Header {
        member_id: 1,
        ..Header::default()
    };
    entry_of(&header, bodies)
}

fn entry_of(header: &Header, bodies: Vec<Body>) -> Bytes {
    let command = |body| Command {
        header: Some(header.clone()),
        body: Some(body),
    };
    let commands = bodies.into_iter().map(command).collect();
    Batch {
        version: super::PAYLOAD_VERSION,
        commands,
    }
    .encode_to_vec()
    .into()
}
