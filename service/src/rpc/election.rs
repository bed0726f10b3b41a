//! `v3electionpb.Election`: an election is a [`ballot`] queue. The contender that has the turn is
//! the leader, and its key's value is what it proclaims.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::RangeRequest;
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::mvccpb::KeyValue;
use conclave_proto::v3electionpb::election_server::Election;
use conclave_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use conclave_storage::machine::{ChangeKind, Changes};
use conclave_storage::{KeyRange, LeaseId, Revision};
use tonic::{Request, Response, Status};

use super::ballot::{self, Wish};
use super::stream::{Ended, Unfold};
use super::{Access, Context, reply, status};
use crate::method::Method;
use conclave_core::watch::{Subscription, WatchError};

#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }
}

async fn campaign(access: &Access, wish: Wish) -> Result<CampaignResponse, Status> {
    let name = wish.name.clone();
    let place = ballot::contend(access, wish).await?;
    let leader = LeaderKey {
        name,
        key: place.key,
        rev: place.create_revision,
        lease: place.lease.0,
    };
    Ok(CampaignResponse {
        header: Some(place.entered),
        leader: Some(leader),
    })
}

async fn proclaim(access: &Access, request: ProclaimRequest) -> Result<ProclaimResponse, Status> {
    let leader = leader_of(request.leader)?;
    let lease = LeaseId(leader.lease);
    let write = ballot::write(access, &leader.key, leader.rev, lease, request.value).await?;
    if !write.succeeded {
        return Err(status::of_api(ApiError::ElectionNotLeader));
    }
    Ok(ProclaimResponse {
        header: write.header,
    })
}

async fn leader(access: &Access, request: LeaderRequest) -> Result<LeaderResponse, Status> {
    access.linearize().await.map_err(status::of_refused)?;
    let (leader, revision) = leader_now(access, &request.name).await?;
    let kv = leader.ok_or_else(|| status::of_api(ApiError::ElectionNoLeader))?;
    Ok(LeaderResponse {
        header: Some(access.header(revision)),
        kv: Some(kv),
    })
}

/// Gives up a leadership. That it is over already is no error.
async fn resign(access: &Access, request: ResignRequest) -> Result<ResignResponse, Status> {
    let leader = leader_of(request.leader)?;
    let delete = ballot::delete(access, &leader.key, leader.rev).await?;
    Ok(ResignResponse {
        header: delete.header,
    })
}

fn leader_of(leader: Option<LeaderKey>) -> Result<LeaderKey, Status> {
    let leader = leader.ok_or_else(|| status::of_api(ApiError::ElectionLeaderMissing))?;
    if leader.key.is_empty() {
        return Err(status::of_api(ApiError::EmptyKey));
    }
    Ok(leader)
}

/// Returns the key that leads, and the revision of the read.
async fn leader_now(access: &Access, name: &Bytes) -> Result<(Option<KeyValue>, Revision), Status> {
    let prefix = ballot::prefix(name);
    let request = RangeRequest {
        range_end: ballot::prefix_end(&prefix),
        key: prefix,
        limit: 1,
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        ..Default::default()
    };
    let mut response = access.read(move |reader| reader.range(&request)).await?;
    let revision = Revision(response.header.map_or(0, |header| header.revision));
    Ok((response.kvs.pop(), revision))
}

/// The leaders of an election and what they proclaim, one after the other, from the one that leads
/// now. A client that reads slowly may miss some, but never the last.
struct Observer {
    access: Access,
    name: Bytes,
    phase: Phase,
    /// Responses that are not sent yet.
    ready: VecDeque<LeaderResponse>,
    /// Mod revision of the last response, which a second read must not repeat.
    seen: i64,
}

enum Phase {
    /// The leader is to be read.
    Look,
    /// There is no leader; the first key of the queue will lead.
    Vacant(Subscription),
    /// There is a leader, which may proclaim more.
    Led { key: Bytes, changes: Subscription },
}

impl Observer {
    async fn next(&mut self) -> Result<LeaderResponse, Status> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                self.access.confirm().map_err(status::of_api)?;
                return Ok(response);
            }
            match &mut self.phase {
                Phase::Look => self.look().await?,
                Phase::Vacant(changes) => {
                    revisions(changes).await?;
                    self.phase = Phase::Look;
                }
                Phase::Led { key, changes } => {
                    let key = key.clone();
                    match revisions(changes).await? {
                        Some(revisions) => self.follow(&key, &revisions),
                        None => self.phase = Phase::Look,
                    }
                }
            }
        }
    }

    /// Reads the leader, and watches from there on.
    async fn look(&mut self) -> Result<(), Status> {
        let (kv, revision) = leader_now(&self.access, &self.name).await?;
        let range = match &kv {
            Some(kv) => KeyRange::One(kv.key.clone()),
            None => KeyRange::prefix(ballot::prefix(&self.name)),
        };
        let changes = self.access.subscribe(range, revision.next()).await;
        let changes = changes.map_err(status::of_watch)?;
        match kv {
            Some(kv) => {
                self.phase = Phase::Led {
                    key: kv.key.clone(),
                    changes,
                };
                self.found(revision, kv);
            }
            None => self.phase = Phase::Vacant(changes),
        }
        Ok(())
    }

    /// Takes what the leader proclaimed, up to its end.
    fn follow(&mut self, key: &Bytes, revisions: &[Arc<Changes>]) {
        for revision in revisions {
            for change in &revision.changes {
                if change.kv.key != *key {
                    continue;
                }
                match change.kind {
                    ChangeKind::Put => self.found(revision.revision, change.kv.clone()),
                    ChangeKind::Delete => {
                        self.phase = Phase::Look;
                        return;
                    }
                }
            }
        }
    }

    fn found(&mut self, revision: Revision, kv: KeyValue) {
        if kv.mod_revision > self.seen {
            self.seen = kv.mod_revision;
            let header = Some(self.access.header(revision));
            self.ready.push_back(LeaderResponse {
                header,
                kv: Some(kv),
            });
        }
    }
}

/// Returns the next revisions of a subscription, or `None` if they are compacted and the state must
/// be read.
async fn revisions(changes: &mut Subscription) -> Result<Option<Vec<Arc<Changes>>>, Status> {
    match changes.next().await {
        Ok(revisions) => Ok(Some(revisions)),
        Err(WatchError::Compacted(_)) => Ok(None),
        Err(error) => Err(status::of_watch(error)),
    }
}

type Leaders =
    std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<LeaderResponse, Status>> + Send>>;

fn leaders(access: Access, name: Bytes) -> Leaders {
    let ready = VecDeque::new();
    let observer = Observer {
        access,
        name,
        phase: Phase::Look,
        ready,
        seen: 0,
    };
    Box::pin(Unfold::new(observer, |mut observer| async move {
        let next = observer.next().await;
        Some((next, observer))
    }))
}

#[tonic::async_trait]
impl Election for Service {
    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let access = self.context.admit(Method::Campaign, &request).await?;
        let CampaignRequest { name, lease, value } = request.into_inner();
        let wish = Wish {
            name,
            lease: LeaseId(lease),
            value: Some(value),
        };
        reply(campaign(&access, wish).await)
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        let access = self.context.admit(Method::Proclaim, &request).await?;
        reply(proclaim(&access, request.into_inner()).await)
    }

    async fn leader(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<LeaderResponse>, Status> {
        let access = self.context.admit(Method::Leader, &request).await?;
        reply(leader(&access, request.into_inner()).await)
    }

    type ObserveStream = Ended<Leaders>;

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let access = self.context.admit(Method::Observe, &request).await?;
        let (metadata, _, request) = request.into_parts();
        // Afterwards the local state will do: it has every event seen on the way.
        access.linearize().await.map_err(status::of_refused)?;
        let leaders = leaders(access.clone(), request.name);
        Ok(access.stream(Method::Observe, &metadata, leaders))
    }

    async fn resign(
        &self,
        request: Request<ResignRequest>,
    ) -> Result<Response<ResignResponse>, Status> {
        let access = self.context.admit(Method::Resign, &request).await?;
        reply(resign(&access, request.into_inner()).await)
    }
}
