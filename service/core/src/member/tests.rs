//! The owners together, on engines in memory: every answer to a client matches the state
//! afterwards.

use std::time::Duration;

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::command::{self, MemberChange, member_change};
use conclave_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    RangeRequest,
};
use conclave_storage::engine::memory::MemoryEngine;
use conclave_storage::layout::EMPTY_STORE_BYTES;
use conclave_storage::log::{Append, Entry, EntryKind, Log};
use conclave_storage::machine::Limits;
use conclave_storage::state_store::memory::MemoryStates;
use conclave_storage::{ClusterId, Index, LeaseId, MemberId, Term};
use prost::Message as _;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType};

use super::*;
use crate::caller::{Caller, User};
use crate::clock::SystemClock;
use crate::handle::{ProposeError, Refused, Unknown};
use crate::observe::Unobserved;
use crate::peers::NoPeers;
use crate::seed::sequence;
use crate::stores::{NewCluster, Opened, Origin};
use crate::workers::Threads;

mod cluster;
mod network;
mod pipelines;
mod traces;
mod turns;
mod wild;

/// A member's two disks.
#[derive(Clone, Default)]
struct Disks {
    log: MemoryEngine,
    state: MemoryEngine,
}

impl Disks {
    /// The disks as a restarted process finds them, without anything that was not synced.
    fn crashed(&self) -> Disks {
        Disks {
            log: self.log.crash_keeping(0),
            state: self.state.crash_keeping(0),
        }
    }

    fn open(&self) -> Opened {
        let states = Arc::new(MemoryStates::of(self.state.clone()));
        let opened = Opened::on(Arc::new(self.log.clone()), states, Limits::default());
        opened.expect("sound disks")
    }

    fn start(&self) -> Member {
        self.start_with(settings())
    }

    fn start_with(&self, settings: Settings) -> Member {
        let nobody = |_| Arc::new(NoPeers) as Arc<dyn Peers>;
        self.start_as(&new_cluster(1, MemberId(1)), settings, nobody)
    }

    fn start_as(
        &self,
        origin: &NewCluster,
        settings: Settings,
        connect: impl FnOnce(PeerContext) -> Arc<dyn Peers>,
    ) -> Member {
        self.start_observed(origin, settings, Arc::new(Unobserved), connect)
    }

    fn start_observed(
        &self,
        origin: &NewCluster,
        settings: Settings,
        observer: Arc<dyn Observer>,
        connect: impl FnOnce(PeerContext) -> Arc<dyn Peers>,
    ) -> Member {
        let raft = runtime::Handle::current();
        let clock = Arc::new(SystemClock::new());
        let owners = self.owners(origin, settings, (clock, observer), connect);
        Member::start(owners, &raft).expect("threads")
    }

    fn owners(
        &self,
        origin: &NewCluster,
        settings: Settings,
        (clock, observer): (Arc<dyn Clock>, Arc<dyn Observer>),
        connect: impl FnOnce(PeerContext) -> Arc<dyn Peers>,
    ) -> Owners {
        let opened = self.open();
        let needs_origin = opened.needs_origin().expect("sound");
        let origin = needs_origin.then(|| Origin::New(origin.clone()));
        let stores = opened.into_stores(origin, false).expect("of its cluster");
        let seams = Seams {
            clock,
            seed: sequence(),
            workers: Arc::new(Threads),
            observer,
        };
        let stopping = CancellationToken::new();
        Owners::new(stores, settings, seams, stopping, connect).expect("sound")
    }
}

/// The settings of a member that is started without flags.
fn settings() -> Settings {
    Settings {
        heartbeat_interval: Duration::from_millis(100),
        election_timeout: Duration::from_millis(1000),
        pre_vote: true,
        snapshot_count: 10_000,
        catch_up_entries: 5_000,
        lease_checkpoint_interval: None,
        sync: true,
        quota_bytes: Some(2 << 30),
        max_txn_ops: 128,
        max_request_bytes: 3 << 19,
        watch_progress_interval: Duration::from_secs(600),
        auth_token_ttl: Duration::from_secs(300),
        reconfiguration: proposer::Reconfiguration {
            strict: true,
            max_learners: 1,
        },
    }
}

/// A new cluster of `count` members, for the member with this id.
fn new_cluster(count: u64, member_id: MemberId) -> NewCluster {
    let member = |id| command::Member {
        id,
        peer_urls: vec![format!("http://127.0.0.1:{}", 10_000 + id)],
        ..command::Member::default()
    };
    NewCluster {
        member_id,
        cluster_id: ClusterId(0xc1),
        members: (1..=count).map(member).collect(),
    }
}

fn put(key: &str, value: impl Into<Bytes>) -> PutRequest {
    PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.into(),
        ..PutRequest::default()
    }
}

fn get(handle: &Handle, key: &str) -> Option<Bytes> {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let answer = handle.reader().range(&RangeRequest {
        key,
        ..RangeRequest::default()
    });
    answer
        .expect("readable")
        .kvs
        .first()
        .map(|kv| kv.value.clone())
}

fn count(handle: &Handle) -> i64 {
    let everything = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        count_only: true,
        ..RangeRequest::default()
    };
    handle.reader().range(&everything).expect("readable").count
}

async fn grant(handle: &Handle, id: i64, ttl: i64) -> (i64, i64) {
    let granted = handle.propose(LeaseGrantRequest { id, ttl }).await;
    let granted = granted.expect("it is granted");
    (granted.id, granted.ttl)
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_many_are_answered_and_survive_a_restart() {
    let disks = Disks::default();
    let member = disks.start();
    let writers: Vec<_> = (0..2_000)
        .map(|n| {
            let handle = member.handle().clone();
            tokio::spawn(
                async move { handle.propose(put(&format!("k{n}"), format!("v{n}"))).await },
            )
        })
        .collect();
    let mut revisions = Vec::new();
    for writer in writers {
        let reply = writer.await.expect("no panic").expect("acknowledged");
        let header = reply.header.expect("filled");
        assert_eq!(header.cluster_id, member.handle().identity().cluster_id.0);
        assert_eq!(header.member_id, member.handle().identity().member_id.0);
        assert_eq!(header.raft_term, 2);
        revisions.push(header.revision);
    }
    revisions.sort_unstable();
    assert!(revisions.iter().copied().eq(2..2_002));
    member.stop().await.expect("no fault");

    let member = disks.start();
    member
        .handle()
        .linearize()
        .await
        .expect("a sole voter leads at once");
    assert_eq!(count(member.handle()), 2_000);
    assert_eq!(
        get(member.handle(), "k1234").as_deref(),
        Some(&b"v1234"[..])
    );
    member.stop().await.expect("no fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_nothing_acknowledged() {
    let mut disks = Disks::default();
    for life in 0..5 {
        let member = disks.start();
        member.handle().linearize().await.expect("it leads");
        assert_eq!(count(member.handle()), life * 50);
        for n in 0..50 {
            member
                .handle()
                .propose(put(&format!("{life}/{n}"), "v"))
                .await
                .expect("acknowledged");
        }
        let crashed = disks.crashed();
        member.stop().await.expect("no fault");
        disks = crashed;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_of_the_log_ends_the_server_without_a_reply() {
    let disks = Disks::default();
    let member = disks.start();
    member
        .handle()
        .propose(put("before", "v"))
        .await
        .expect("acknowledged");
    disks.log.fail_next_write();
    let outcome = member.handle().propose(put("after", "v")).await;
    assert_eq!(
        outcome,
        Err(ProposeError::Unknown(Unknown(ApiError::Stopped)))
    );
    member.handle().stopping().cancelled().await;
    let refused = member.handle().propose(put("later", "v")).await;
    assert_eq!(
        refused,
        Err(ProposeError::Refused(Refused(ApiError::Stopped)))
    );
    assert!(matches!(member.stop().await, Err(FatalError::Fault(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_of_the_state_ends_the_server_without_a_reply() {
    let disks = Disks::default();
    let member = disks.start();
    member.handle().linearize().await.expect("it leads");
    disks.state.fail_next_write();
    let outcome = member.handle().propose(put("k", "v")).await;
    assert_eq!(
        outcome,
        Err(ProposeError::Unknown(Unknown(ApiError::Stopped)))
    );
    assert_eq!(get(member.handle(), "k"), None);
    let crashed = disks.crashed();
    assert!(matches!(member.stop().await, Err(FatalError::Fault(_))));

    // The log had the entry durably: the unknown outcome was a success.
    let member = crashed.start();
    member.handle().linearize().await.expect("it leads");
    assert_eq!(get(member.handle(), "k").as_deref(), Some(&b"v"[..]));
    member.stop().await.expect("no fault");
}

/// The lost members may have been about to go on without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_does_not_follow_its_own_removal() {
    let disks = Disks::default();
    let member = disks.start();
    let own = member.handle().identity().member_id;
    member
        .handle()
        .propose(put("k", "v"))
        .await
        .expect("acknowledged");
    member.stop().await.expect("no fault");
    let removal = MemberChange {
        change: Some(member_change::Change::Remove(own.0)),
        ..MemberChange::default()
    };
    let mut change = ConfChange::default();
    change.set_change_type(ConfChangeType::RemoveNode);
    change.node_id = own.0;
    change.context = removal.encode_to_vec().into();
    let (log, state) = Log::open(Arc::new(disks.log.clone())).expect("a sound log");
    log.append(&Append {
        entries: vec![Entry {
            index: state.last_index.next(),
            term: state.hard_state.term,
            kind: EntryKind::ConfChange,
            data: change.write_to_bytes().expect("in memory").into(),
        }],
        ..Append::default()
    })
    .expect("in memory");
    drop(log);

    let stores = disks.open().into_stores(None, true).expect("it goes on");
    let members: Vec<u64> = stores.reader.members().iter().map(|m| m.id).collect();
    assert_eq!(members, [own.0]);
    assert_eq!(stores.log_state.last_index, state.last_index);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_compacted_behind_the_flushed_state() {
    let disks = Disks::default();
    let few = Settings {
        snapshot_count: 10,
        catch_up_entries: 5,
        ..settings()
    };
    let member = disks.start_with(few);
    for n in 0..100 {
        member
            .handle()
            .propose(put("k", format!("{n}")))
            .await
            .expect("acknowledged");
    }
    // The flush happens in the background; wait for its effect.
    let crashed = loop {
        let crashed = disks.crashed();
        let (log, state) =
            conclave_storage::log::Log::open(Arc::new(crashed.log.clone())).expect("a sound log");
        if state.first_index > Index(1) {
            assert!(log.last_index().0 > state.first_index.0 + 3);
            break crashed;
        }
        member
            .handle()
            .propose(put("k", "99"))
            .await
            .expect("acknowledged");
    };
    member.stop().await.expect("no fault");
    let member = crashed.start();
    member.handle().linearize().await.expect("it leads");
    assert_eq!(get(member.handle(), "k").as_deref(), Some(&b"99"[..]));
    member.stop().await.expect("no fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_in_the_log_in_its_callers_name() {
    let disks = Disks::default();
    let member = disks.start();
    let alice = Caller::User(Arc::new(User {
        name: "alice".to_owned(),
        auth_revision: 3,
    }));
    for caller in [Caller::Member, Caller::Anonymous, alice] {
        let handle = member.handle().in_the_name_of(caller);
        handle.propose(put("k", "v")).await.expect("acknowledged");
    }
    member.stop().await.expect("no fault");

    let (log, state) = Log::open(Arc::new(disks.log.clone())).expect("a sound log");
    let entries = log.entries(state.first_index, state.last_index.next(), u64::MAX);
    let entries = entries.expect("readable").into_iter();
    let batches = entries.map(|entry| command::Batch::decode(entry.data).expect("sound"));
    let commands = batches.flat_map(|batch| batch.commands);
    let puts = commands.filter(|one| matches!(one.body, Some(command::command::Body::Put(_))));
    let callers: Vec<_> = puts
        .map(|put| put.header.expect("it has one"))
        .map(|header| (header.user, header.auth_revision, header.by_member))
        .collect();
    let no_user = |by_member| (String::new(), 0, by_member);
    let alice = ("alice".to_owned(), 3, false);
    assert_eq!(callers, [no_user(true), no_user(false), alice]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_refused_before_the_log() {
    let disks = Disks::default();
    let member = disks.start_with(Settings {
        max_request_bytes: 1_000,
        ..settings()
    });
    let refused = member.handle().propose(put("k", vec![0; 1_000])).await;
    assert_eq!(
        refused,
        Err(ProposeError::Refused(Refused(ApiError::RequestTooLarge)))
    );
    member
        .handle()
        .propose(put("k", vec![0; 900]))
        .await
        .expect("it fits");
    member.stop().await.expect("no fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_raises_the_alarm_and_lets_deletes_pass() {
    let disks = Disks::default();
    let member = disks.start_with(Settings {
        quota_bytes: Some(EMPTY_STORE_BYTES + 10_000),
        ..settings()
    });
    let handle = member.handle();
    let mut puts = 0;
    let refused = loop {
        match handle
            .propose(put(&format!("k{puts}"), vec![0; 1_000]))
            .await
        {
            Ok(_) => puts += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, ProposeError::Refused(Refused(ApiError::NoSpace)));
    assert!((2..10).contains(&puts));
    assert_eq!(handle.reader().alarms().len(), 1);
    // Small enough for the quota, but the alarm is raised.
    let rejected = handle.propose(put("tiny", "")).await;
    assert_eq!(
        rejected.map_err(ProposeError::api_error),
        Err(ApiError::NoSpace)
    );
    let delete = DeleteRangeRequest {
        key: Bytes::from_static(b"k0"),
        ..Default::default()
    };
    handle.propose(delete).await.expect("deletes free space");
    member.stop().await.expect("no fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_begin_anew_with_the_leader_and_end_by_proposal() {
    let disks = Disks::default();
    let member = disks.start();
    let (chosen, ttl) = grant(member.handle(), 0, 1).await;
    assert!(chosen > 0);
    // One and a half election timeouts, in whole seconds.
    assert_eq!(ttl, 2);
    assert_eq!(grant(member.handle(), 7, 600).await, (7, 600));
    let with_lease = PutRequest {
        key: Bytes::from_static(b"leased"),
        lease: chosen,
        ..PutRequest::default()
    };
    member
        .handle()
        .propose(with_lease)
        .await
        .expect("the lease is there");
    member.stop().await.expect("no fault");

    let member = disks.start();
    let handle = member.handle();
    handle.linearize().await.expect("it leads");
    let leases = handle.leases();
    let left = leases
        .time_to_live(LeaseId(7))
        .expect("it leads")
        .expect("it is there");
    assert_eq!(left.granted_seconds, 600);
    assert!(left.ttl_seconds >= 599);
    assert_eq!(
        handle.keep_alive(LeaseId(7)).await.expect("it leads"),
        Some(600)
    );
    assert_eq!(handle.keep_alive(LeaseId(8)).await.expect("it leads"), None);
    assert_eq!(
        handle.keep_alive(LeaseId(chosen)).await.expect("it leads"),
        Some(2)
    );
    while get(handle, "leased").is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        handle.keep_alive(LeaseId(chosen)).await.expect("it leads"),
        None
    );
    assert_eq!(
        leases.time_to_live(LeaseId(chosen)).expect("it leads"),
        None
    );
    handle
        .propose(LeaseRevokeRequest { id: 7 })
        .await
        .expect("it is there");
    assert_eq!(handle.keep_alive(LeaseId(7)).await.expect("it leads"), None);
    member.stop().await.expect("no fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_physical_compaction_can_be_waited_for() {
    let disks = Disks::default();
    let member = disks.start();
    for n in 0..20 {
        member
            .handle()
            .propose(put("k", format!("{n}")))
            .await
            .expect("acknowledged");
    }
    let request = CompactionRequest {
        revision: 15,
        physical: true,
    };
    member
        .handle()
        .propose(request)
        .await
        .expect("it is not too early");
    let revision = conclave_storage::Revision(15);
    member
        .handle()
        .wait_compaction(revision)
        .await
        .expect("not stopping");
    assert!(member.handle().reader().compaction_finished() >= revision);
    member.stop().await.expect("no fault");
}
