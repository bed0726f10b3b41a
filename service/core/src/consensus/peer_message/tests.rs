//! One test for each rule, and every rule against every message that members really send.

use protobuf::Message as _;
use raft::eraftpb::{ConfState, EntryType};

use super::*;

mod random;

const OWN_ID: MemberId = MemberId(1);
const PEER: MemberId = MemberId(2);

fn local() -> Local {
    Local {
        id: OWN_ID,
        term: Term(5),
        role: StateRole::Follower,
        last_index: Index(10),
        is_durable: true,
    }
}

fn message(kind: MessageType) -> Message {
    let mut message = Message {
        from: PEER.0,
        to: OWN_ID.0,
        term: 5,
        ..Message::default()
    };
    message.set_msg_type(kind);
    message
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        ..Entry::default()
    }
}

/// An append after entry 10 of term 4.
fn append(entries: &[(u64, u64)]) -> Message {
    let entries: Vec<_> = entries.iter().map(|&(i, t)| entry(i, t)).collect();
    Message {
        index: 10,
        log_term: 4,
        commit: 10,
        entries: entries.into(),
        ..message(MessageType::MsgAppend)
    }
}

fn question(context_bytes: usize) -> Message {
    let entry = Entry {
        data: vec![0; context_bytes].into(),
        ..Entry::default()
    };
    Message {
        term: 0,
        entries: vec![entry].into(),
        ..message(MessageType::MsgReadIndex)
    }
}

fn snapshot(voters: &[u64], learners: &[u64]) -> Message {
    let mut message = message(MessageType::MsgSnapshot);
    let metadata = message.mut_snapshot().mut_metadata();
    (metadata.index, metadata.term) = (20, 4);
    metadata.set_conf_state(ConfState::from((voters.to_vec(), learners.to_vec())));
    message
}

#[track_caller]
fn refused(message: &Message, why: Unfit) {
    assert_eq!(check(message, PEER, &local()), Err(why), "{message:?}");
}

#[track_caller]
fn taken(message: &Message) {
    assert_eq!(check(message, PEER, &local()), Ok(()), "{message:?}");
}

#[test]
fn kinds_of_a_member_to_itself_are_refused() {
    for kind in [
        MessageType::MsgHup,
        MessageType::MsgBeat,
        MessageType::MsgPropose,
        MessageType::MsgSnapshot,
        MessageType::MsgUnreachable,
        MessageType::MsgSnapStatus,
        MessageType::MsgCheckQuorum,
        MessageType::MsgTransferLeader,
    ] {
        refused(&message(kind), Unfit::Kind);
    }
}

#[test]
fn a_message_is_from_its_sender_and_for_this_member() {
    let heartbeat = || message(MessageType::MsgHeartbeat);
    taken(&heartbeat());
    for from in [0, OWN_ID.0, 3, u64::MAX] {
        let other = Message {
            from,
            ..heartbeat()
        };
        refused(&other, Unfit::Sender);
    }
    for to in [0, PEER.0, u64::MAX] {
        let elsewhere = Message { to, ..heartbeat() };
        refused(&elsewhere, Unfit::Receiver);
    }
    // A follower forwards the question of a third member.
    let forwarded = Message {
        from: 3,
        ..question(24)
    };
    taken(&forwarded);
}

#[test]
fn a_term_is_one_that_a_cluster_can_reach() {
    for term in [0, NUMBER_MAX, u64::MAX, 5 + TERM_LEAP_MAX + 1] {
        let wild = Message {
            term,
            ..message(MessageType::MsgHeartbeat)
        };
        refused(&wild, Unfit::Term);
    }
    for term in [1, 5, 6, 5 + TERM_LEAP_MAX] {
        let mut later = message(MessageType::MsgHeartbeat);
        later.term = term;
        taken(&later);
    }
    taken(&question(24));
}

#[test]
fn an_index_is_one_that_a_cluster_can_reach() {
    let kinds = [
        MessageType::MsgRequestVote,
        MessageType::MsgAppendResponse,
        MessageType::MsgReadIndex,
    ];
    for kind in kinds {
        for wild in [NUMBER_MAX + 1, u64::MAX - 1, u64::MAX] {
            let index = Message {
                index: wild,
                ..message(kind)
            };
            let commit = Message {
                commit: wild,
                ..message(kind)
            };
            let hint = Message {
                reject_hint: wild,
                ..message(kind)
            };
            for message in [index, commit, hint] {
                refused(&message, Unfit::Index);
            }
        }
    }
}

#[test]
fn entries_are_not_of_a_later_term_than_their_message() {
    let vote = |log_term, commit_term| Message {
        log_term,
        commit_term,
        ..message(MessageType::MsgRequestVote)
    };
    taken(&vote(5, 5));
    refused(&vote(6, 0), Unfit::EntryTerm);
    refused(&vote(0, 6), Unfit::EntryTerm);
    refused(&append(&[(11, 6)]), Unfit::EntryTerm);
}

#[test]
fn no_member_has_a_priority_or_asks_for_a_snapshot() {
    for (priority, deprecated_priority) in [(-1, 0), (1, 0), (0, 1)] {
        let vote = Message {
            priority,
            deprecated_priority,
            ..message(MessageType::MsgRequestPreVote)
        };
        refused(&vote, Unfit::Priority);
    }
    let request = Message {
        request_snapshot: 1,
        ..message(MessageType::MsgAppendResponse)
    };
    refused(&request, Unfit::SnapshotRequest);
}

#[test]
fn entries_follow_one_another() {
    taken(&append(&[]));
    taken(&append(&[(11, 4), (12, 4), (13, 5)]));
    for entries in [
        &[(12, 5)][..],
        &[(10, 4)],
        &[(0, 4)],
        &[(u64::MAX, 5)],
        &[(11, 5), (11, 5)],
        &[(11, 5), (13, 5)],
        // Terms do not decrease, and the one before is of term 4.
        &[(11, 3)],
        &[(11, 5), (12, 4)],
        &[(11, 0)],
    ] {
        refused(&append(entries), Unfit::Entries);
    }
}

/// The library takes an entry it does not have for one of term 0.
#[test]
fn only_the_start_of_the_log_has_no_term() {
    let mut gap = append(&[(11, 5)]);
    gap.log_term = 0;
    refused(&gap, Unfit::EntryTerm);
    let mut start = append(&[(1, 1)]);
    (start.index, start.log_term) = (0, 0);
    taken(&start);
    start.log_term = 1;
    refused(&start, Unfit::EntryTerm);
}

#[test]
fn the_last_entry_has_an_index_in_range() {
    let mut last = append(&[(NUMBER_MAX + 1, 5)]);
    last.index = NUMBER_MAX;
    refused(&last, Unfit::Index);
}

#[test]
fn entries_are_what_the_log_keeps() {
    let mut with_context = append(&[(11, 5)]);
    with_context.entries[0].context = b"x".to_vec().into();
    refused(&with_context, Unfit::EntryFields);
    // Field 20 of a later release.
    let mut bytes = entry(11, 5).write_to_bytes().expect("in memory");
    bytes.extend([0xa0, 0x01, 0x07]);
    let mut unknown = append(&[]);
    let later = Entry::parse_from_bytes(&bytes).expect("an entry");
    unknown.mut_entries().push(later);
    refused(&unknown, Unfit::EntryFields);
    let mut change = append(&[(11, 5)]);
    change.entries[0].set_entry_type(EntryType::EntryConfChange);
    taken(&change);
}

#[test]
fn a_read_index_round_has_one_context() {
    for kind in [MessageType::MsgReadIndex, MessageType::MsgReadIndexResp] {
        let mut asked = question(CONTEXT_BYTES_MAX);
        asked.term = 5;
        asked.set_msg_type(kind);
        taken(&asked);
        let mut none = asked.clone();
        none.entries.clear();
        refused(&none, Unfit::Question);
        let mut two = asked.clone();
        two.entries.push(entry(0, 0));
        refused(&two, Unfit::Question);
        let mut large = question(CONTEXT_BYTES_MAX + 1);
        large.term = 5;
        large.set_msg_type(kind);
        refused(&large, Unfit::Question);
    }
    let mut heartbeat = message(MessageType::MsgHeartbeat);
    heartbeat.context = vec![0; CONTEXT_BYTES_MAX + 1].into();
    refused(&heartbeat, Unfit::Context);
}

#[test]
fn a_follower_acknowledges_what_its_leader_has() {
    let leader = Local {
        role: StateRole::Leader,
        ..local()
    };
    let kinds = [
        MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeatResponse,
    ];
    for kind in kinds {
        let answer = |index, commit, term| Message {
            index,
            commit,
            term,
            ..message(kind)
        };
        assert_eq!(check(&answer(10, 10, 5), PEER, &leader), Ok(()));
        for beyond in [answer(11, 0, 5), answer(0, 11, 5)] {
            let checked = check(&beyond, PEER, &leader);
            assert_eq!(checked, Err(Unfit::Acknowledgement), "{beyond:?}");
            // It is not this member's log that the answer to another leader speaks of.
            taken(&beyond);
        }
        // The library looks at the term alone.
        assert_eq!(check(&answer(11, 11, 4), PEER, &leader), Ok(()));
        assert_eq!(check(&answer(11, 11, 6), PEER, &leader), Ok(()));
    }
}

#[test]
fn no_vote_comes_before_it_was_asked_for() {
    let candidate = Local {
        role: StateRole::Candidate,
        is_durable: false,
        ..local()
    };
    let vote = message(MessageType::MsgRequestVoteResponse);
    assert_eq!(check(&vote, PEER, &candidate), Err(Unfit::EarlyVote));
    let asking = Local {
        is_durable: true,
        ..candidate
    };
    assert_eq!(check(&vote, PEER, &asking), Ok(()));
}

#[test]
fn a_snapshot_has_a_position_and_members() {
    let checked = |message: &Message| check_snapshot(message, &local());
    let good = snapshot(&[1, 2, 3], &[4]);
    assert_eq!(checked(&good), Ok(()));
    assert_eq!(checked(&message(MessageType::MsgAppend)), Err(Unfit::Kind));
    for (index, term) in [(0, 4), (20, 0), (20, 6), (NUMBER_MAX + 1, 4), (u64::MAX, 4)] {
        let mut wild = good.clone();
        let metadata = wild.mut_snapshot().mut_metadata();
        (metadata.index, metadata.term) = (index, term);
        assert_eq!(checked(&wild), Err(Unfit::SnapshotPosition), "{wild:?}");
    }
    for (voters, learners) in [
        (&[][..], &[][..]),
        (&[], &[1]),
        (&[1, 1], &[]),
        (&[1, 2], &[2]),
        (&[0, 1], &[]),
    ] {
        let wild = snapshot(voters, learners);
        assert_eq!(checked(&wild), Err(Unfit::SnapshotMembers), "{wild:?}");
    }
    let mut joint = good.clone();
    let members = joint.mut_snapshot().mut_metadata().mut_conf_state();
    members.voters_outgoing.push(1);
    assert_eq!(checked(&joint), Err(Unfit::SnapshotMembers));
    let mut from_itself = good;
    from_itself.from = OWN_ID.0;
    assert_eq!(checked(&from_itself), Err(Unfit::Sender));
}
