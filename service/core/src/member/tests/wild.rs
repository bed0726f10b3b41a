//! Raft messages that no member sends, in the name of a member: their receivers go on, with the
//! same leader.

use conclave_proto::peer::{Parcel, parcel::Content};
use raft::eraftpb::{Entry, Message, MessageType};

use super::network::{Cluster, id};
use super::*;

/// Near the maximum of an index or a term, and beyond any log.
const WILD: [u64; 4] = [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 62) + 1];

/// Messages of a member in this term, with one wrong number each.
fn wild_messages(term: u64) -> Vec<Message> {
    let mut messages = Vec::new();
    for kind in [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestPreVote,
        MessageType::MsgTransferLeader,
        MessageType::MsgHup,
        MessageType::MsgPropose,
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
    ] {
        for number in WILD {
            let mut base = Message {
                term,
                ..Message::default()
            };
            base.set_msg_type(kind);
            let mut of_term = base.clone();
            of_term.term = number;
            let mut of_index = base.clone();
            of_index.index = number;
            let mut of_commit = base.clone();
            of_commit.commit = number;
            let mut of_hint = base.clone();
            (of_hint.reject, of_hint.reject_hint) = (true, number);
            let mut of_entry = base.clone();
            of_entry.mut_entries().push(Entry {
                index: number,
                term: number,
                ..Entry::default()
            });
            messages.extend([base, of_term, of_index, of_commit, of_hint, of_entry]);
        }
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn members_go_on_whatever_the_others_say() {
    let cluster = Cluster::start(3, settings());
    let leader = cluster.leader(Term::NONE).await;
    leader.propose(put("k", "0")).await.expect("acknowledged");
    let status = leader.status();
    let members: Vec<_> = cluster.members().collect();
    for to in &members {
        for from in members.iter().filter(|from| id(from) != id(to)) {
            for mut message in wild_messages(status.term.0) {
                (message.from, message.to) = (id(from).0, id(to).0);
                let bytes = message.write_to_bytes().expect("in memory");
                let content = Some(Content::Raft(bytes.into()));
                cluster
                    .network
                    .deliver(id(from), id(to), Parcel { content });
            }
        }
    }
    let garbage = Some(Content::Raft(Bytes::from_static(b"\xff\xff\xff")));
    let (from, to) = (id(members[0]), id(members[1]));
    cluster
        .network
        .deliver(from, to, Parcel { content: garbage });
    // Queued behind all of them in each member's mailbox.
    for (value, member) in ["1", "2", "3"].into_iter().zip(&members) {
        member.linearize().await.expect("there is a leader");
        member.propose(put("k", value)).await.expect("acknowledged");
    }
    for member in &members {
        member.linearize().await.expect("there is a leader");
        assert_eq!(get(member, "k").as_deref(), Some(&b"3"[..]));
    }
    let refused = cluster.refused.count();
    assert!(refused > 300, "{refused} refused");
    cluster.stop().await;
}
