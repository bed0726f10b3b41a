//! A member in a script: a node, its disk, and its inputs.

use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, Message, MessageType};

use conclave_proto::command::member_change::Change;
use conclave_proto::command::{self, MemberChange};
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::log::{Append, EntryKind, Log};
use conclave_storage::{Index, MemberId, Term};

use super::super::configuration::Configuration;
use super::super::node::{CommittedEntry, Node, Position, Refused, Settings, Work, encode};
use super::super::reader::Reader;
use super::super::reads::Context;
use super::print;

pub(super) struct Member {
    pub(super) engine: MemoryEngine,
    pub(super) node: Node,
    pub(super) last_append: u64,
    log: Arc<Log>,
}

impl Member {
    pub(super) fn open(id: u64, engine: &MemoryEngine, voters: &[u64], applied: Index) -> Member {
        let (mut log, mut state) = Log::open(Arc::new(engine.clone())).expect("a memory log");
        if state.conf_state.is_empty() {
            log.append(&Append {
                conf_state: Some(configuration(voters, Index::NONE)),
                sync: true,
                ..Append::default()
            })
            .expect("in memory");
            (log, state) = Log::open(Arc::new(engine.clone())).expect("a memory log");
        }
        let log = Arc::new(log);
        let configuration = Configuration::decode(&state.conf_state).expect("our own");
        let configured_at = configuration.index;
        let reader = Reader::new(Arc::clone(&log), &state, configuration, applied);
        let settings = Settings {
            member_id: MemberId(id),
            heartbeat_ticks: 1,
            election_ticks: 10,
            pre_vote: true,
            applied,
            seed: id,
        };
        let node = Node::new(settings, reader, configured_at);
        Member {
            engine: engine.clone(),
            log,
            node,
            last_append: 0,
        }
    }

    /// Runs an input or a query.
    pub(super) fn run(&mut self, command: &str, words: &[&str], out: &mut String) {
        let number = |at: usize| -> u64 { words[at].parse().expect("a number") };
        let node = &mut self.node;
        match command {
            "campaign" => node.campaign(),
            "resign" => node.resign(),
            "suspect" => node.suspect(MemberId(number(0))),
            "transfer" => node.transfer_leader(MemberId(number(0))),
            "snapshot" => node.snapshot_sent(MemberId(number(0)), words[1] == "arrived"),
            "persisted" => node.persisted(self.last_append),
            "applied" => node.applied(Index(number(0))),
            "change" => self.add_voter(number(1)),
            "tick" => {
                let times = words.first().map_or(1, |_| number(0));
                (0..times).for_each(|_| node.tick());
            }
            "read" => node.read_index(Context {
                member_id: node.settings.member_id,
                boot_id: 1,
                counter: number(0),
            }),
            "compact" => {
                node.applied(Index(number(0)));
                node.compact(Index(number(0)));
                self.log.compact(Index(number(0))).expect("in memory");
            }
            "propose" => match node.propose(words.join(" ").into_bytes()) {
                Some(at) => print::line(out, &format!("at {}@{}", at.index, at.term)),
                None => print::line(out, "refused"),
            },
            "propose_change" => match node.propose_change(&change(words[0], number(1))) {
                Ok(at) => print::line(out, &format!("at {}@{}", at.index, at.term)),
                Err(reason) => print::line(out, &format!("refused: {reason:?}")),
            },
            "status" => {
                let (raft_status, starts) = (node.raft_status(), node.term_start());
                print::line(out, &format!("{raft_status:?}, term starts at {starts}"));
            }
            "empty_question" => {
                let mut question = Message::default();
                question.set_msg_type(MessageType::MsgReadIndex);
                question.from = number(0);
                question.to = node.settings.member_id.0;
                let taken = node.step(MemberId(number(0)), &encode(&question).message);
                print::line(out, &format!("{taken:?}"));
            }
            "wants" => {
                let wants = node.wants_snapshot();
                print::line(out, if wants { "a snapshot" } else { "nothing" });
            }
            "offer" => self.offer(Index(number(0))),
            other => panic!("no such command: {other}"),
        }
    }

    /// Steps a message of another member. A snapshot takes a separate path, together with its
    /// files.
    pub(super) fn step(&mut self, from: u64, message: &Bytes) -> Result<(), Refused> {
        let parsed = Message::parse_from_carllerche_bytes(message).expect("a message of a node");
        if parsed.get_msg_type() == MessageType::MsgSnapshot {
            // The files match the announcement.
            let of = parsed.get_snapshot().get_metadata();
            let found = Position {
                index: Index(of.index),
                term: Term(of.term),
            };
            return self.node.step_snapshot(message, found);
        }
        self.node.step(MemberId(from), message)
    }

    /// Acts as the log writer.
    pub(super) fn write(&mut self, work: &Work) {
        if let Some(restore) = &work.restore {
            let Position { index, term } = restore.position;
            let configuration = restore.configuration.clone();
            let restored = self.log.restore(index, term, configuration);
            restored.expect("in memory");
            self.last_append = work.number;
        }
        if let Some(append) = &work.append {
            self.log.append(append).expect("in memory");
            self.last_append = work.number;
        }
    }

    /// Acts as the driver for a committed entry that is a membership change.
    pub(super) fn take_up(&mut self, entry: &CommittedEntry, out: &mut String) {
        if entry.kind != EntryKind::ConfChange {
            return;
        }
        let Some(configuration) = self.node.apply_change(entry).expect("our own") else {
            return print::line(out, "configuration as it was");
        };
        print::line(out, &print::configuration(&configuration));
        self.set_configuration(configuration);
    }

    fn set_configuration(&self, configuration: Bytes) {
        let append = Append {
            conf_state: Some(configuration),
            sync: true,
            ..Append::default()
        };
        self.log.append(&append).expect("in memory");
    }

    fn offer(&mut self, index: Index) {
        let term = self.log.term(index).expect("in memory");
        let position = Position {
            index,
            term: term.expect("in the log"),
        };
        let conf_state = self.node.raw.raft.prs().conf().to_conf_state();
        let configuration = Configuration { conf_state, index };
        let offer = Some((position, configuration));
        self.node.offer_snapshot(offer);
    }

    fn add_voter(&mut self, id: u64) {
        let mut change = ConfChange::default();
        change.set_change_type(ConfChangeType::AddNode);
        change.node_id = id;
        let entry = CommittedEntry {
            position: Position {
                index: self.node.last_index(),
                term: Term::NONE,
            },
            kind: EntryKind::ConfChange,
            payload: change.write_to_bytes().expect("in memory").into(),
        };
        let configuration = self.node.apply_change(&entry).expect("our own");
        self.set_configuration(configuration.expect("a new one"));
    }
}

fn configuration(voters: &[u64], index: Index) -> Bytes {
    let members: Vec<_> = voters
        .iter()
        .map(|&id| command::Member {
            id,
            ..Default::default()
        })
        .collect();
    Configuration::of(&members, index).encode()
}

/// A change in the form it has in the log.
fn change(kind: &str, id: u64) -> MemberChange {
    let member = command::Member {
        id,
        is_learner: kind == "learner",
        ..command::Member::default()
    };
    let change = match kind {
        "add" | "learner" => Change::Add(member),
        "promote" => Change::Promote(id),
        "remove" => Change::Remove(id),
        other => panic!("no such change: {other}"),
    };
    MemberChange {
        header: None,
        change: Some(change),
    }
}
