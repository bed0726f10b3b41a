//! Golden scripts for [`Node`]: inputs and all their effects, in one text.
//!
//! A script is a list of steps, each `> command` followed by the lines it prints. Comments begin
//! with `#`. Nodes run on engines in memory. Their messages go to a simulated network, from which a
//! script delivers or drops them. With `UPDATE_SCRIPTS=1` in the environment the scripts are
//! rewritten with the actual output; read the difference.
//!
//! | command | |
//! |---|---|
//! | `start N of A,B,C` | a fresh node with these voters |
//! | `restart N applied I` | keeps what was appended, loses what was only handed out |
//! | `campaign N`, `tick N [times]`, `read N counter` | inputs |
//! | `applied N I`, `compact N I` | everything through I is applied, or also dropped from the log |
//! | `propose N text` | prints the position |
//! | `work N` | takes all work and puts it into the log without confirming it |
//! | `quiet N` | the same without output, and drops the messages |
//! | `persisted N` | confirms the last append |
//! | `deliver A B` | delivers everything in the network from A to B |
//! | `lose` | drops everything in the network |
//! | `settle` | works, confirms and delivers everywhere until nothing is left; prints the commits |
//! | `change N add M` | applies the addition of a voter, as if it had been committed |
//! | `status N` | the leader, as N knows it |
//! | `suspect N M` | notifies N that M closed its connection |
//! | `transfer N M`, `resign N` | a leader transfers leadership to M, or steps down |
//! | `propose_change N add\|learner\|promote\|remove M` | prints the position, or the refusal |
//! | `empty_question N M` | M requests the read index from N with an empty context |
//! | `wants N` | whether N needs a snapshot to send |
//! | `offer N I` | offers a snapshot of N's state through index I |
//! | `snapshot N M arrived\|lost` | notifies N of the outcome of its snapshot to M |
//!
//! A committed membership change is applied when it is handed out. A snapshot consists of its
//! announcement only.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use conclave_storage::Index;
use conclave_storage::engine::memory::MemoryEngine;

use super::node::Outgoing;

mod member;
mod print;

use member::Member;

#[derive(Default)]
struct World {
    members: BTreeMap<u64, Member>,
    network: Vec<(u64, Outgoing)>,
}

impl World {
    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let number = |at: usize| -> u64 { words[at].parse().expect("a number") };
        let mut out = String::new();
        match words[0] {
            "start" => {
                let voters: Vec<u64> = words[3]
                    .split(',')
                    .map(|v| v.parse().expect("id"))
                    .collect();
                let member = Member::open(number(1), &MemoryEngine::new(), &voters, Index::NONE);
                self.members.insert(number(1), member);
            }
            "restart" => {
                let engine = self.member(number(1)).engine.crash_keeping(0);
                self.members.insert(
                    number(1),
                    Member::open(number(1), &engine, &[], Index(number(3))),
                );
            }
            "work" => while self.work(number(1), &mut out) {},
            "quiet" => {
                let mut unprinted = String::new();
                while self.work(number(1), &mut unprinted) {}
                self.network.retain(|&(from, _)| from != number(1));
            }
            "deliver" => self.deliver(&mut out, |from, to| (from, to) == (number(1), number(2))),
            "lose" => self.network.clear(),
            "settle" => self.settle(&mut out),
            other => self.member(number(1)).run(other, &words[2..], &mut out),
        }
        out
    }

    fn member(&mut self, id: u64) -> &mut Member {
        self.members.get_mut(&id).expect("started")
    }

    fn work(&mut self, id: u64, out: &mut String) -> bool {
        let member = self.member(id);
        let Some(work) = member.node.work() else {
            return false;
        };
        out.push_str(&print::work(&work));
        for entry in &work.committed {
            member.take_up(entry, out);
        }
        member.write(&work);
        self.network
            .extend(work.messages.into_iter().map(|message| (id, message)));
        let announced = work.snapshots.into_iter().map(|snapshot| Outgoing {
            to: snapshot.to,
            message: snapshot.message,
        });
        self.network.extend(announced.map(|message| (id, message)));
        true
    }

    fn deliver(&mut self, out: &mut String, which: impl Fn(u64, u64) -> bool) {
        for (from, outgoing) in std::mem::take(&mut self.network) {
            if !which(from, outgoing.to.0) {
                self.network.push((from, outgoing));
            } else if let Some(member) = self.members.get_mut(&outgoing.to.0)
                && let Err(refused) = member.step(from, &outgoing.message)
            {
                writeln!(out, "{}: {refused:?}", outgoing.to.0).expect("in memory");
            }
        }
    }

    fn settle(&mut self, out: &mut String) {
        loop {
            let mut busy = !self.network.is_empty();
            for id in self.members.keys().copied().collect::<Vec<_>>() {
                let mut printed = String::new();
                while self.work(id, &mut printed) {
                    busy = true;
                    let member = self.member(id);
                    member.node.persisted(member.last_append);
                }
                let worth_it = ["commit ", "configuration ", "restore "];
                let is_worth_it = |line: &&str| worth_it.iter().any(|what| line.starts_with(what));
                for line in printed.lines().filter(is_worth_it) {
                    writeln!(out, "{id}: {line}").expect("in memory");
                }
            }
            self.deliver(out, |_, _| true);
            if !busy {
                return;
            }
        }
    }
}

/// The script with the actual output of every step.
fn replay(script: &str) -> String {
    let mut world = World::default();
    let mut out = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(out, "{line}").expect("in memory");
            out.push_str(&world.run(command));
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(out, "{line}").expect("in memory");
        }
    }
    out
}

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/consensus/scripts");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|file| file.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let script = std::fs::read_to_string(&file).expect("readable");
        let now = replay(&script);
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            std::fs::write(&file, &now).expect("writable");
        } else {
            assert_eq!(now, script, "{}", file.display());
        }
    }
}
