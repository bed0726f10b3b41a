//! The output of a script's steps.

use std::fmt::Write as _;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

use conclave_proto::command::member_change::Change;
use conclave_storage::log::EntryKind;

use super::super::configuration::{Configuration, from_raft};
use super::super::node::{Position, Work};

pub(super) fn work(work: &Work) -> String {
    let mut out = String::new();
    if let Some(restore) = &work.restore {
        let Position { index, term } = restore.position;
        let made = configuration(&restore.configuration);
        line(&mut out, &format!("restore {index}@{term}, {made}"));
    }
    if let Some(append) = &work.append {
        let entries: Vec<String> = append
            .entries
            .iter()
            .map(|e| format!(" {}@{} {}", e.index, e.term, text(e.kind, &e.data)))
            .collect();
        let state = append.hard_state.map_or(String::new(), |state| {
            format!(
                "; term {} vote {} commit {}",
                state.term, state.vote.0, state.commit
            )
        });
        writeln!(out, "append{}{state}", entries.join(",")).expect("in memory");
    }
    for outgoing in &work.messages {
        writeln!(
            out,
            "send {}: {}",
            outgoing.to.0,
            show_message(&outgoing.message)
        )
        .expect("in memory");
    }
    for entry in &work.committed {
        let Position { index, term } = entry.position;
        writeln!(
            out,
            "commit {index}@{term} {}",
            text(entry.kind, &entry.payload)
        )
        .expect("in memory");
    }
    for snapshot in &work.snapshots {
        let message = show_message(&snapshot.message);
        line(&mut out, &format!("send {}: {message}", snapshot.to.0));
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
    if m.has_snapshot() && m.get_msg_type() == MessageType::MsgSnapshot {
        let of = m.get_snapshot().get_metadata();
        write!(out, " of {}@{}", of.index, of.term).expect("in memory");
    }
    if m.reject {
        out.push_str(" reject");
    }
    out
}

/// A configuration in the form it has in the log.
pub(super) fn configuration(bytes: &Bytes) -> String {
    let Configuration { conf_state, index } = Configuration::decode(bytes).expect("our own");
    let (voters, learners) = (&conf_state.voters, &conf_state.learners);
    format!("configuration of {index}: voters {voters:?} learners {learners:?}")
}

pub(super) fn line(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("in memory");
}

fn text(kind: EntryKind, data: &Bytes) -> String {
    if data.is_empty() {
        return "-".to_owned();
    }
    if kind == EntryKind::Normal {
        return String::from_utf8_lossy(data).into_owned();
    }
    match from_raft(data).expect("our own").1.change {
        Some(Change::Add(member)) if member.is_learner => format!("learner {}", member.id),
        Some(Change::Add(member)) => format!("add {}", member.id),
        Some(Change::Promote(id)) => format!("promote {id}"),
        Some(Change::Remove(id)) => format!("remove {id}"),
        Some(Change::Update(urls)) => format!("update {}", urls.member_id),
        None => "a change of nothing".to_owned(),
    }
}
