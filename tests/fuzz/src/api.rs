//! Targets `messages` and `requests`: arbitrary bytes as messages of the API, and sequences of
//! sensible requests, sent to a running member through its whole stack.
//!
//! Every call must be answered, with a response or a refusal, and the member must go on.
//! Occasionally, and at the end of a run, a second member is started on a copy of its disk and must
//! come to the same state ([`Member::check_replay`]).
//!
//! Input of `messages`: the number of a method in [`METHODS`], and for each message two bytes of
//! length and the message. Input of `requests`: steps in the format of [`Api::step`].

use bytes::Bytes;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3electionpb as election;
use conclave_proto::v3lockpb as lock;
use conclave_service::Handle;
use prost::Message;
use tonic::transport::Channel;

use crate::calls::{self, METHODS, Method};
use crate::member::{Cluster, Member};
use crate::requests::{self, Near};
use crate::source::Source;
use crate::target::Target;

/// Number of inputs between two checks of the disk. Entries whose state was flushed are not
/// replayed, so the interval is long.
const REPLAY_AFTER: usize = 64;

/// Number of inputs in a member's life, so that its store stays small and its log short.
const RENEW_AFTER: usize = 16 * REPLAY_AFTER;

/// Limit of messages per call.
const MESSAGES_MAX: usize = 8;

/// Limit of requests per input.
const STEPS_MAX: usize = 24;

/// A member and a client of it.
#[derive(Debug)]
struct Api {
    member: Member,
    channel: Channel,
    inputs: usize,
}

/// The target `messages`.
#[derive(Debug)]
pub struct Messages(Api);

/// The target `requests`.
#[derive(Debug)]
pub struct Requests(Api);

impl Messages {
    /// Starts a member.
    pub fn open() -> Self {
        Self(Api::open())
    }
}

impl Requests {
    /// Starts a member.
    pub fn open() -> Self {
        Self(Api::open())
    }
}

impl Target for Messages {
    fn run(&mut self, input: &[u8]) {
        let mut source = Source::new(input);
        let method = source.pick(METHODS);
        let mut messages = Vec::new();
        while messages.is_empty() || (!source.is_empty() && messages.len() < MESSAGES_MAX) {
            let length = u16::from_le_bytes([source.byte(), source.byte()]);
            messages.push(Bytes::copy_from_slice(source.take(length.into())));
        }
        self.0.call(method, messages);
        self.0.after();
    }

    fn check(&mut self) {
        self.0.member.check_replay();
    }
}

impl Target for Requests {
    fn run(&mut self, input: &[u8]) {
        let mut source = Source::new(input);
        for _ in 0..STEPS_MAX {
            if source.is_empty() || !self.0.member.is_sole_voter() {
                break;
            }
            self.0.step(&mut source);
        }
        self.0.after();
    }

    fn check(&mut self) {
        self.0.member.check_replay();
    }
}

impl Api {
    fn open() -> Self {
        let member = Member::start(Cluster::Sole);
        let channel = connect(&member);
        Self {
            member,
            channel,
            inputs: 0,
        }
    }

    fn call(&self, method: Method, messages: Vec<Bytes>) {
        let call = calls::call(&self.channel, method, messages);
        self.member.block_on(call);
    }

    /// Checks after each input that the member answers, and renews it if it cannot take the next
    /// input.
    fn after(&mut self) {
        if !self.member.is_sole_voter() {
            // The input added a second voter, which does not exist.
            return self.renew();
        }
        self.member.check_alive();
        disarm(&self.member);
        self.inputs += 1;
        if self.inputs.is_multiple_of(REPLAY_AFTER) {
            self.member.check_replay();
        }
        if self.inputs.is_multiple_of(RENEW_AFTER) {
            self.renew();
        }
    }

    fn renew(&mut self) {
        self.member.renew();
        self.channel = connect(&self.member);
    }

    /// Sends one request, or one stream of them.
    fn step(&self, source: &mut Source) {
        let handle = self.member.handle();
        let near = Near {
            revision: handle.reader().applied().revision.0,
            member_id: handle.identity().member_id.0,
        };
        let (path, messages) = match source.byte() {
            0..=49 => one("KV/Put", &requests::put(source)),
            50..=79 => one("KV/Range", &requests::range(source, near)),
            80..=99 => one("KV/DeleteRange", &requests::delete(source)),
            100..=139 => one("KV/Txn", &requests::txn(source, near)),
            140..=149 => one("KV/Compact", &requests::compaction(source, near)),
            150..=154 => one("KV/RangeStream", &requests::range(source, near)),
            155..=164 => one("Lease/LeaseGrant", &requests::grant(source)),
            165..=169 => {
                let id = requests::lease_id(source);
                one("Lease/LeaseRevoke", &pb::LeaseRevokeRequest { id })
            }
            170..=174 => {
                let id = requests::lease_id(source);
                let keys = source.flag();
                one(
                    "Lease/LeaseTimeToLive",
                    &pb::LeaseTimeToLiveRequest { id, keys },
                )
            }
            175..=179 => one("Lease/LeaseLeases", &pb::LeaseLeasesRequest {}),
            180..=184 => {
                let revision = source.near_signed(near.revision);
                one("Maintenance/HashKV", &pb::HashKvRequest { revision })
            }
            185..=189 => one("Maintenance/Alarm", &requests::alarm(source, near)),
            choice => rare(choice, source, near),
        };
        let path = METHODS.iter().find(|method| method.path.ends_with(path));
        self.call(*path.expect("a method of the list"), messages);
    }
}

/// The less frequent requests: streams, locks, elections, members.
fn rare(choice: u8, source: &mut Source, near: Near) -> (&'static str, Vec<Bytes>) {
    let target_id = near.member_id;
    match choice {
        190..=209 => {
            let messages =
                (0..=source.below(4)).map(|_| requests::watch(source, near).encode_to_vec());
            ("Watch/Watch", messages.map(Bytes::from).collect())
        }
        210..=219 => {
            let id = requests::lease_id(source);
            one("Lease/LeaseKeepAlive", &pb::LeaseKeepAliveRequest { id })
        }
        220..=224 => {
            let (name, lease) = (requests::key(source), requests::lease_id(source));
            one("Lock/Lock", &lock::LockRequest { name, lease })
        }
        225..=229 => {
            let (name, lease) = (requests::key(source), requests::lease_id(source));
            let value = requests::key(source);
            one(
                "Election/Campaign",
                &election::CampaignRequest { name, lease, value },
            )
        }
        230..=234 => {
            let name = requests::key(source);
            one("Election/Leader", &election::LeaderRequest { name })
        }
        235..=239 => {
            let member = pb::MemberAddRequest {
                peer_urls: vec![format!("http://127.0.0.1:{}", 1 + source.below(4))],
                // A further voter would not exist, so learners are more frequent.
                is_learner: !source.rarely(),
            };
            one("Cluster/MemberAdd", &member)
        }
        240..=242 => {
            let id = source.near(near.member_id);
            one("Cluster/MemberRemove", &pb::MemberRemoveRequest { id })
        }
        243..=245 => {
            let id = source.near(near.member_id);
            one("Cluster/MemberPromote", &pb::MemberPromoteRequest { id })
        }
        // Rare, because it flushes the state.
        246..=248 if source.rarely() => one("Maintenance/Defragment", &pb::DefragmentRequest {}),
        246..=251 => one(
            "Maintenance/MoveLeader",
            &pb::MoveLeaderRequest { target_id },
        ),
        252..=253 => one("Maintenance/Snapshot", &pb::SnapshotRequest {}),
        _ => one("Maintenance/Hash", &pb::HashRequest {}),
    }
}

fn one(path: &'static str, message: &impl Message) -> (&'static str, Vec<Bytes>) {
    (path, vec![message.encode_to_vec().into()])
}

fn connect(member: &Member) -> Channel {
    // Connects inside the runtime, which the connection's task needs.
    member.block_on(async { calls::connect(&member.client_address()) })
}

/// Disarms the alarms, since an alarm makes the member refuse all further writes.
fn disarm(member: &Member) {
    let handle: &Handle = member.handle();
    for alarm in handle.reader().alarms() {
        let disarm = pb::AlarmRequest {
            action: pb::alarm_request::AlarmAction::Deactivate.into(),
            member_id: alarm.member_id,
            alarm: alarm.alarm,
        };
        let disarmed = member.block_on(handle.propose(disarm));
        disarmed.expect("an alarm can be disarmed");
    }
}
