//! Target `peers`: arbitrary bytes on the peer port, and sensible calls of other members.
//!
//! A member of three, in which the input plays the other two: it chooses the caller, the frames of
//! a stream (raft messages, forwarded commands, refusals), and the queries. The input can be a
//! leader that the member follows. The member refuses or accepts each call, and its driver must
//! answer afterwards.
//!
//! Three ends of a member are correct, and not a finding: a leader's messages show that the member
//! acknowledged entries missing from its log; a leader commits an entry that this release cannot
//! decode; a leader commits the member's removal. Any other end, or a panic, is a finding.
//!
//! Input: 0 and the number of a method with the bytes of its message; 1 and the bytes of a
//! connection as in `connections`; or any other byte and steps in the format of [`Peers::step`].

use std::time::Duration;

use bytes::Bytes;
use conclave_proto::command::{MemberChange, member_change};
use conclave_proto::peer::{
    Forward, Frame, HashKvRequest, Hello, Parcel, Question, Refusal, parcel::Content, question,
};
use conclave_service::FatalError;
use conclave_storage::Fault;
use prost::Message as _;
use raft::eraftpb::MessageType;
use tonic::transport::Channel;

use crate::calls::{self, PEER_METHODS};
use crate::connections;
use crate::member::{Cluster, Member};
use crate::messages::{self, View};
use crate::panics;
use crate::requests::{self, Near};
use crate::source::Source;
use crate::target::Target;

/// Number of inputs in a member's life.
const RENEW_AFTER: usize = 512;

/// Limit of calls per input, and of frames per stream.
const STEPS_MAX: usize = 8;

/// Time limit for a member that ends.
const ENDING: Duration = Duration::from_secs(10);

/// The target.
#[derive(Debug)]
pub struct Peers {
    member: Member,
    channel: Channel,
    inputs: usize,
}

impl Peers {
    /// Starts a member.
    pub fn open() -> Self {
        let member = Member::start(Cluster::OfThree);
        let channel = connect(&member);
        Self {
            member,
            channel,
            inputs: 0,
        }
    }
}

impl Target for Peers {
    fn run(&mut self, input: &[u8]) {
        let mut source = Source::new(input);
        match source.byte() {
            0 => {
                let method = source.pick(PEER_METHODS);
                let call = calls::call(&self.channel, method, vec![source.rest()]);
                self.member.block_on(call);
            }
            1 => {
                let bytes = connections::bytes(&mut source);
                let address = self.member.peer_address();
                // Refused if the previous input ends the member, which is checked below.
                let _ = self.member.block_on(connections::send(&address, &bytes));
            }
            _ => {
                for _ in 0..STEPS_MAX {
                    if source.is_empty() {
                        break;
                    }
                    self.step(&mut source);
                }
            }
        }
        self.after();
    }

    fn check(&mut self) {
        self.member.check_replay();
    }
}

impl Peers {
    fn step(&self, source: &mut Source) {
        let (method, messages) = match source.byte() {
            0..=219 => {
                let from = self.caller(source);
                let mut messages = vec![Frame {
                    hello: self.hello(source, from),
                    parcels: self.parcels(source, from),
                }];
                for _ in 0..source.below(4) {
                    messages.push(Frame {
                        hello: None,
                        parcels: self.parcels(source, from),
                    });
                }
                let messages = messages.iter().map(|frame| frame.encode_to_vec().into());
                (PEER_METHODS[0], messages.collect())
            }
            220..=249 => {
                let from = self.caller(source);
                let question = Question {
                    hello: self.hello(source, from),
                    question: question(source),
                };
                (PEER_METHODS[2], vec![question.encode_to_vec().into()])
            }
            250.. => (PEER_METHODS[3], vec![Bytes::new()]),
        };
        self.member
            .block_on(calls::call(&self.channel, method, messages));
    }

    fn view(&self) -> View {
        view(&self.member)
    }

    fn caller(&self, source: &mut Source) -> u64 {
        match source.rarely() {
            true => source.number(),
            false => source.pick(&self.view().peers),
        }
    }

    fn hello(&self, source: &mut Source, from: u64) -> Option<Hello> {
        let identity = self.member.handle().identity();
        let mut hello = Hello {
            protocol_version: 1,
            cluster_id: identity.cluster_id.0,
            member_id: from,
            boot_id: u64::from(source.below(3)),
            to_member_id: identity.member_id.0,
            // No process listens there: a link to an unlisted member dials in vain.
            peer_urls: vec!["http://127.0.0.1:9".to_owned()],
        };
        match source.byte() {
            0..=239 => {}
            240..=243 => hello.protocol_version = u32::from(source.byte()),
            244..=247 => hello.cluster_id = source.number(),
            248..=251 => hello.to_member_id = source.number(),
            252..=253 => hello.member_id = identity.member_id.0,
            254.. => return None,
        }
        Some(hello)
    }

    fn parcels(&self, source: &mut Source, from: u64) -> Vec<Parcel> {
        let count = source.below(5);
        let content = (0..count).map(|_| Parcel {
            content: self.content(source, from),
        });
        content.collect()
    }

    fn content(&self, source: &mut Source, from: u64) -> Option<Content> {
        let mut view = self.view();
        view.peers[0] = from;
        match source.byte() {
            0..=169 => Some(Content::Raft(self.raft(source, view))),
            170..=179 => Some(Content::Raft(source.piece())),
            180..=219 => Some(Content::Forward(forward(source, view))),
            220..=249 => Some(Content::Refusal(Refusal {
                term: source.near(view.term),
                request_ids: vec![source.number(), source.number()],
                reason: i32::from(source.below(5)),
            })),
            250.. => None,
        }
    }

    fn raft(&self, source: &mut Source, view: View) -> Bytes {
        let mut message = messages::message(source, view);
        if message.get_msg_type() == MessageType::MsgHeartbeat && !source.rarely() {
            // A commit index beyond the log would rightly end the member.
            message.commit = message.commit.min(view.committed);
        }
        messages::encode(&message)
    }

    fn after(&mut self) {
        self.inputs += 1;
        let ending = self.member.handle().stopping().is_cancelled();
        if ending || self.member.ended().is_some() {
            self.check_end();
            return self.renew();
        }
        self.member.check_alive_or_ending();
        if self.member.handle().stopping().is_cancelled() {
            self.check_end();
            return self.renew();
        }
        if self.inputs.is_multiple_of(RENEW_AFTER) {
            self.member.check_replay();
            self.renew();
        }
    }

    fn renew(&mut self) {
        self.member.renew();
        self.channel = connect(&self.member);
    }

    /// Panics unless the member has ended for one of the correct reasons.
    fn check_end(&self) {
        panics::none_since();
        let end = self.member.end(ENDING);
        let is_right = match &end {
            Err(FatalError::Removed) => true,
            Err(FatalError::Fault(fault)) => is_of_a_leader(fault),
            Ok(()) | Err(_) => false,
        };
        assert!(is_right, "the member has ended: {end:?}");
    }
}

/// Returns true for a fault that a leader's messages cause.
fn is_of_a_leader(fault: &Fault) -> bool {
    let text = fault.to_string();
    text.contains("acknowledged log entries") || text.contains("log entry")
}

/// The member's position, and the members the input plays.
pub fn view(member: &Member) -> View {
    let handle = member.handle();
    let (own, status) = (handle.identity().member_id, handle.status());
    let members = handle.reader().members();
    let mut others = members.iter().map(|member| member.id);
    let mut other = |instead| others.find(|id| *id != own.0).unwrap_or(instead);
    View {
        id: own.0,
        peers: [other(2), other(3)],
        term: status.term.0,
        last_index: status.committed_index.0,
        committed: status.committed_index.0,
        revision: handle.reader().applied().revision.0,
    }
}

fn forward(source: &mut Source, view: View) -> Forward {
    let near = Near {
        revision: view.revision,
        member_id: view.id,
    };
    let count = source.below(4);
    let mut commands = Vec::new();
    for _ in 0..count {
        commands.push(if source.rarely() {
            source.piece()
        } else {
            conclave_core::consensus::codec::frame(&requests::command(source, near))
        });
    }
    Forward {
        term: source.near(view.term),
        commands,
        change: source.rarely().then(|| MemberChange {
            header: None,
            change: Some(member_change::Change::Remove(source.near(view.id))),
        }),
        ..Forward::default()
    }
}

fn question(source: &mut Source) -> Option<question::Question> {
    use question::Question as Q;
    Some(match source.below(5) {
        0 => Q::KeepAlive(requests::lease_id(source)),
        1 => Q::TimeToLive(requests::lease_id(source)),
        2 => Q::LearnerReady(source.number()),
        3 => Q::HashKv(HashKvRequest {
            revision: source.near_signed(1),
        }),
        _ => return None,
    })
}

fn connect(member: &Member) -> Channel {
    member.block_on(async { calls::connect(&member.peer_address()) })
}
