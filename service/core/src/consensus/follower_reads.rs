//! A follower's question for the read index, answered without asking anybody else.
//!
//! Before a leader says which index a read must see, it has to know that no other leader was
//! elected before the read began. The library asks a majority by heartbeats, one round trip more.
//! But a question from a follower tells already that the follower itself has elected nobody: it
//! carries the follower's term as of when it was sent, which was after its reads had begun. If
//! leader and follower are a majority together, as any two of three are, that is all there is to
//! know.
//!
//! # Why that is enough
//!
//! The leader of term T answers, with its commit index, a question that was sent under T. Say a
//! write was acknowledged before the read began. If its leader had a term beyond T, a majority had
//! voted in that term before the read began, and the follower or the leader was among it: the
//! follower would have had that term when it asked, the leader by the time it answers. Neither had.
//! So the write is of term T, and this leader committed it, or of a term before, and it is below
//! the first entry that this leader committed in its own term, without which it does not answer.
//! As membership changes one member at a time, the majorities meet across a change, too.
//!
//! The library sends questions without a term, and takes one that is asked of it only without.

use std::collections::HashSet;

use raft::StateRole;
use raft::eraftpb::{Message, MessageType};

use super::node::{Node, encode};

pub(super) fn is_question(message: &Message) -> bool {
    message.get_msg_type() == MessageType::MsgReadIndex
}

impl Node {
    /// A question with the term under which it is sent. (What this member passes on for another is
    /// sent under no term.)
    pub(super) fn stamped(&self, mut question: Message) -> Message {
        if question.from == self.settings.member_id {
            question.term = self.raw.raft.term;
        }
        question
    }

    /// Answers a question, or gives it back as the library takes it.
    pub(super) fn answer_question(&mut self, mut question: Message) -> Option<Message> {
        let raft = &self.raw.raft;
        let asked_under = std::mem::take(&mut question.term);
        let both = HashSet::from_iter([raft.id, question.from]);
        let is_settled = raft.state == StateRole::Leader
            && raft.commit_to_current_term()
            && asked_under == raft.term
            && raft.prs().has_quorum(&both);
        if !is_settled {
            return Some(question);
        }
        let mut answer = Message {
            from: raft.id,
            to: question.from,
            term: raft.term,
            index: raft.raft_log.committed,
            entries: question.entries,
            ..Message::default()
        };
        answer.set_msg_type(MessageType::MsgReadIndexResp);
        self.released.push(encode(&answer));
        None
    }
}
