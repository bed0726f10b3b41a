//! Read-index requests of followers, answered by the leader without another round trip.
//!
//! Before a leader returns the index that a read must see, it has to know that no other leader was
//! elected before the read began. The library asks a majority by heartbeats, which costs one more
//! round trip. But a request from a follower already shows that this follower has not voted in a
//! later term: the request carries the follower's term at the time it was sent, which was after its
//! reads had begun. If leader and follower together are a majority, as any two of three are,
//! nothing else has to be checked.
//!
//! # Why that is enough
//!
//! The leader of term T answers a request that was sent under T with its commit index. Suppose a
//! write was acknowledged before the read began. If the leader of that write had a term later than
//! T, a majority had voted in that term before the read began, and that majority included the
//! follower or the leader. Then the follower would have had that term when it sent the request, or
//! the leader would have it by the time it answers. Neither did. So the write belongs to term T or
//! to an earlier term. If it belongs to T, this leader committed it. If it belongs to an earlier
//! term, it is below the first entry that this leader committed in its own term, and the leader
//! does not answer before that entry is committed. Membership changes one member at a time, so
//! majorities overlap across a change, too.
//!
//! The library sends read-index requests without a term, and accepts a request from a peer only
//! without one.

use std::collections::HashSet;

use raft::StateRole;
use raft::eraftpb::{Message, MessageType};

use super::node::{Node, encode};

pub(super) fn is_question(message: &Message) -> bool {
    message.get_msg_type() == MessageType::MsgReadIndex
}

impl Node {
    /// Sets the term of a read-index request to the term it is sent under. (A request that this
    /// member forwards for another member gets no term.)
    pub(super) fn stamped(&self, mut question: Message) -> Message {
        if question.from == self.settings.member_id.0 {
            question.term = self.raw.raft.term;
        }
        question
    }

    /// Answers a read-index request, or returns the request in the form the library expects.
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
