//! `etcdserverpb.Lease`.
//!
//! Grant and revoke go through the log. The remaining time of a lease is in the leader's memory, so
//! keep-alive and time-to-live ask the leader, wherever it is.

use conclave_proto::etcdserverpb::lease_server::Lease;
use conclave_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use conclave_storage::LeaseId;
use conclave_storage::reader::Reader;
use tonic::{Request, Response, Status, Streaming};

use super::admitted::Gate;
use super::stream::{Ended, Unfold, is_unreadable};
use super::{Access, Context, large, reply, status};
use crate::method::Method;

#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }
}

async fn grant(access: &Access, request: LeaseGrantRequest) -> Result<LeaseGrantResponse, Status> {
    let response = access.propose(request).await?;
    access.stats().leases_granted.inc();
    Ok(response)
}

async fn revoke(
    access: &Access,
    request: LeaseRevokeRequest,
) -> Result<LeaseRevokeResponse, Status> {
    let response = access.propose(request).await?;
    access.stats().leases_revoked.inc();
    Ok(response)
}

/// An unknown lease is not an error: it is answered with a TTL of -1.
async fn time_to_live(
    access: &Access,
    request: LeaseTimeToLiveRequest,
) -> Result<large::Reply<LeaseTimeToLiveResponse>, Status> {
    let id = LeaseId(request.id);
    let remaining = access.time_to_live(id).await?;
    let mut response = LeaseTimeToLiveResponse {
        header: access.header_now(),
        id: request.id,
        ttl: -1,
        ..Default::default()
    };
    if let Some(remaining) = remaining {
        response.ttl = remaining.ttl_seconds;
        response.granted_ttl = remaining.granted_seconds;
        if request.keys {
            // The leader has confirmed the time; the keys are this member's to know. There may
            // be any number of them.
            access.linearize().await.map_err(status::of_refused)?;
            let of_read = access.clone();
            let with_keys = move |reader: &Reader| {
                let keys = of_read.lease_keys(reader, id)?;
                let response = response.clone();
                Ok(LeaseTimeToLiveResponse { keys, ..response })
            };
            return access.build(with_keys).await;
        }
    }
    Ok(large::Reply::Small(response))
}

/// Lists the leases by the time they end, where that is known; the other leases come last. Leases
/// that end at the same time are in the order of their grants, also on a member that does not lead
/// and knows no times. Two grants in one log entry were under way together, so the id decides.
async fn leases(access: &Access) -> Result<large::Reply<LeaseLeasesResponse>, Status> {
    let of_read = access.clone();
    let header = access.header_now();
    let in_order = move |reader: &Reader| {
        of_read.judge_all_leases(reader)?;
        let leases = reader.leases()?.into_iter();
        let mut by_end: Vec<_> = leases
            .map(|lease| {
                let end = of_read.lease_ends_at(LeaseId(lease.id));
                (end.is_none(), end, lease.granted_index, lease.id)
            })
            .collect();
        by_end.sort_unstable();
        let leases = by_end.into_iter().map(|(.., id)| LeaseStatus { id });
        Ok(LeaseLeasesResponse {
            header,
            leases: leases.collect(),
        })
    };
    access.build(in_order).await
}

/// Renews one lease. The TTL in the answer is 0 if the lease does not exist.
async fn keep_alive(
    access: &Access,
    request: LeaseKeepAliveRequest,
) -> Result<LeaseKeepAliveResponse, Status> {
    let renewed = access.keep_alive(LeaseId(request.id)).await;
    access.stats().leases_renewed.inc();
    let ttl = renewed?.unwrap_or(0);
    Ok(LeaseKeepAliveResponse {
        header: access.header_now(),
        id: request.id,
        ttl,
    })
}

/// The answers to a stream of keep-alives: each in turn, until the client ends its side or a
/// renewal fails.
type KeepAlives = std::pin::Pin<
    Box<dyn tokio_stream::Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>,
>;

fn keep_alives(gate: Gate, requests: Streaming<LeaseKeepAliveRequest>) -> KeepAlives {
    Box::pin(Unfold::new(
        (gate, requests),
        |(gate, mut requests)| async move {
            let answer = match requests.message().await {
                Ok(Some(request)) => {
                    gate.received(Method::LeaseKeepAlive).inc();
                    let answer = match gate.judge(&request).await {
                        Ok(access) => keep_alive(&access, request).await,
                        Err(refused) => Err(status::of_api(refused)),
                    };
                    gate.record(&answer);
                    answer
                }
                Ok(None) => return None,
                Err(status) => {
                    if is_unreadable(&status) {
                        gate.stats().keep_alive_streams_failed.inc();
                        gate.record_unreadable(&status);
                    }
                    Err(status)
                }
            };
            Some((answer, (gate, requests)))
        },
    ))
}

#[tonic::async_trait]
impl Lease for Service {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let access = self.context.admit(Method::LeaseGrant, &request).await?;
        reply(grant(&access, request.into_inner()).await)
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let access = self.context.admit(Method::LeaseRevoke, &request).await?;
        reply(revoke(&access, request.into_inner()).await)
    }

    type LeaseKeepAliveStream = Ended<KeepAlives>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let (metadata, extensions, requests) = request.into_parts();
        let gate = self.context.open(Method::LeaseKeepAlive, &extensions).await;
        let answers = keep_alives(gate.clone(), requests);
        Ok(gate.stream(Method::LeaseKeepAlive, &metadata, answers))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let access = self
            .context
            .admit(Method::LeaseTimeToLive, &request)
            .await?;
        large::reply(time_to_live(&access, request.into_inner()).await)
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let access = self.context.admit(Method::LeaseLeases, &request).await?;
        large::reply(leases(&access).await)
    }
}
