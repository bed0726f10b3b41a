//! Golden scripts for [`Node`]: inputs and all that comes of them, in one text.
//!
//! A script is a list of steps, each `> command` with the lines it prints below. Comments begin
//! with `#`. Nodes run on engines in memory. Messages are taken up by an imaginary network, from
//! which a script delivers them or lets them be lost. With `UPDATE_SCRIPTS=1` in the environment
//! the scripts are rewritten with what was printed; read the difference.
//!
//! | command | |
//! |---|---|
//! | `start N of A,B,C` | a fresh node with these voters |
//! | `restart N applied I` | what was appended is there, what was only handed out is not |
//! | `campaign N`, `tick N [times]`, `read N counter`, `compact N index` | inputs |
//! | `propose N text` | prints the position |
//! | `work N` | all work there is, put into the log but not confirmed |
//! | `quiet N` | the same without a line, and what it sends is lost |
//! | `persisted N` | confirms the last append |
//! | `deliver A B` | everything the network has from A for B |
//! | `lose` | everything the network has |
//! | `settle` | work, confirm and deliver everywhere until nothing is left; prints the commits |
//! | `change N add M` | applies the addition of a voter, as if it had been committed |
//! | `standing N` | who leads, as N sees it |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, Message};

use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::log::{Append, EntryKind, Log};

use super::configuration::Configuration;
use super::node::{CommittedEntry, Node, Outgoing, Position, Settings, Work};
use super::reader::Reader;
use super::reads::Context;

#[derive(Default)]
struct World {
    members: BTreeMap<u64, Member>,
    network: Vec<(u64, Outgoing)>,
}

struct Member {
    engine: MemoryEngine,
    log: Arc<Log>,
    node: Node,
    last_append: u64,
}

fn open(id: u64, engine: &MemoryEngine, voters: &[u64], applied: u64) -> Member {
    let (mut log, mut state) = Log::open(Arc::new(engine.clone())).expect("a memory log");
    if state.conf_state.is_empty() {
        log.append(&Append {
            conf_state: Some(configuration(voters, 0)),
            sync: true,
            ..Append::default()
        })
        .expect("in memory");
        (log, state) = Log::open(Arc::new(engine.clone())).expect("a memory log");
    }
    let log = Arc::new(log);
    let Configuration { conf_state, index } =
        Configuration::decode(&state.conf_state).expect("our own");
    let reader = Reader::new(Arc::clone(&log), &state, conf_state, applied);
    let settings = Settings {
        member_id: id,
        heartbeat_ticks: 1,
        election_ticks: 10,
        pre_vote: true,
        applied,
        seed: id,
    };
    let node = Node::new(settings, reader, index);
    Member {
        engine: engine.clone(),
        log,
        node,
        last_append: 0,
    }
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
                let member = open(number(1), &MemoryEngine::new(), &voters, 0);
                self.members.insert(number(1), member);
            }
            "restart" => {
                let engine = self.member(number(1)).engine.crash_keeping(0);
                self.members
                    .insert(number(1), open(number(1), &engine, &[], number(3)));
            }
            "campaign" => self.member(number(1)).node.campaign(),
            "tick" => {
                let times = if words.len() > 2 { number(2) } else { 1 };
                (0..times).for_each(|_| self.member(number(1)).node.tick());
            }
            "read" => {
                let context = Context {
                    member_id: number(1),
                    boot_id: 1,
                    counter: number(2),
                };
                self.member(number(1)).node.read_index(context);
            }
            "compact" => {
                let member = self.member(number(1));
                member.node.applied(number(2));
                member.node.compact(number(2));
                member.log.compact(number(2)).expect("in memory");
            }
            "propose" => {
                let payload = words[2..].join(" ").into_bytes();
                match self.member(number(1)).node.propose(payload) {
                    Some(at) => writeln!(out, "at {}@{}", at.index, at.term),
                    None => writeln!(out, "refused"),
                }
                .expect("in memory");
            }
            "work" => while self.work(number(1), &mut out) {},
            "quiet" => {
                let mut unprinted = String::new();
                while self.work(number(1), &mut unprinted) {}
                self.network.retain(|&(from, _)| from != number(1));
            }
            "persisted" => {
                let member = self.member(number(1));
                member.node.persisted(member.last_append);
            }
            "deliver" => self.deliver(|from, to| from == number(1) && to == number(2)),
            "lose" => self.network.clear(),
            "settle" => self.settle(&mut out),
            "change" => self.member(number(1)).add_voter(number(3)),
            "standing" => {
                let member = self.member(number(1));
                writeln!(
                    out,
                    "{:?}, term starts at {}",
                    member.node.standing(),
                    member.node.term_start()
                )
                .expect("in memory");
            }
            other => panic!("no such command: {other}"),
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
        if let Some(append) = &work.append {
            member.log.append(append).expect("in memory");
            member.last_append = work.number;
        }
        out.push_str(&show(&work));
        self.network
            .extend(work.messages.into_iter().map(|message| (id, message)));
        true
    }

    fn deliver(&mut self, which: impl Fn(u64, u64) -> bool) {
        for (from, outgoing) in std::mem::take(&mut self.network) {
            if !which(from, outgoing.to) {
                self.network.push((from, outgoing));
            } else if let Some(member) = self.members.get_mut(&outgoing.to) {
                member
                    .node
                    .step(&outgoing.message)
                    .expect("a message of a node");
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
                for line in printed.lines().filter(|line| line.starts_with("commit ")) {
                    writeln!(out, "{id}: {line}").expect("in memory");
                }
            }
            self.deliver(|_, _| true);
            if !busy {
                return;
            }
        }
    }
}

fn configuration(voters: &[u64], index: u64) -> Bytes {
    let members: Vec<_> = voters
        .iter()
        .map(|&id| conclave_proto::command::Member {
            id,
            ..Default::default()
        })
        .collect();
    Configuration::of(&members, index).encode()
}

impl Member {
    fn add_voter(&mut self, id: u64) {
        let mut change = ConfChange::default();
        change.set_change_type(ConfChangeType::AddNode);
        change.node_id = id;
        let entry = CommittedEntry {
            position: Position {
                index: u64::MAX,
                term: 0,
            },
            kind: EntryKind::ConfChange,
            payload: change.write_to_bytes().expect("in memory").into(),
        };
        let append = Append {
            conf_state: self.node.apply_change(&entry).expect("our own"),
            sync: true,
            ..Append::default()
        };
        self.log.append(&append).expect("in memory");
    }
}

fn show(work: &Work) -> String {
    let mut out = String::new();
    if let Some(append) = &work.append {
        let entries: Vec<String> = append
            .entries
            .iter()
            .map(|e| format!(" {}@{} {}", e.index, e.term, text(&e.data)))
            .collect();
        let state = append.hard_state.map_or(String::new(), |state| {
            format!(
                "; term {} vote {} commit {}",
                state.term, state.vote, state.commit
            )
        });
        writeln!(out, "append{}{state}", entries.join(",")).expect("in memory");
    }
    for outgoing in &work.messages {
        writeln!(
            out,
            "send {}: {}",
            outgoing.to,
            show_message(&outgoing.message)
        )
        .expect("in memory");
    }
    for entry in &work.committed {
        let Position { index, term } = entry.position;
        writeln!(out, "commit {index}@{term} {}", text(&entry.payload)).expect("in memory");
    }
    for read in &work.reads {
        writeln!(out, "read {} at {}", read.context[23], read.index).expect("in memory");
    }
    out
}

fn show_message(message: &Bytes) -> String {
    let m = Message::parse_from_carllerche_bytes(message).expect("a message of a node");
    let mut out = format!("{:?} term {}", m.get_msg_type(), m.term);
    if m.index > 0 || m.log_term > 0 {
        write!(out, " index {}@{}", m.index, m.log_term).expect("in memory");
    }
    for entry in &m.entries {
        write!(out, " +{}@{}", entry.index, entry.term).expect("in memory");
    }
    if m.commit > 0 {
        write!(out, " commit {}", m.commit).expect("in memory");
    }
    if m.reject {
        out.push_str(" reject");
    }
    out
}

fn text(data: &Bytes) -> String {
    if data.is_empty() {
        "-".to_owned()
    } else {
        String::from_utf8_lossy(data).into_owned()
    }
}

/// The script with every step's output as it is now.
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
