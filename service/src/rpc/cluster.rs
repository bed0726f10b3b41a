//! `etcdserverpb.Cluster`: the members, and changes of them.

use conclave_proto::command;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::etcdserverpb::cluster_server::Cluster;
use conclave_storage::{MemberId, Revision};
use tonic::{Request, Response, Status};

use super::{Access, Context, reply, status};
use crate::method::Method;
use crate::reconfiguration::Changed;

#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }
}

/// Lists the members. The header has no revision: membership is not part of the key space's
/// history.
async fn list(
    access: &Access,
    request: pb::MemberListRequest,
) -> Result<pb::MemberListResponse, Status> {
    if request.linearizable {
        access.linearize().await.map_err(status::of_refused)?;
    }
    let (header, members) = members_after(access, Ok(access.members()))?;
    Ok(pb::MemberListResponse { header, members })
}

async fn add(
    access: &Access,
    request: pb::MemberAddRequest,
) -> Result<pb::MemberAddResponse, Status> {
    let pb::MemberAddRequest {
        peer_urls,
        is_learner,
    } = request;
    let added = access.add_member(&peer_urls, is_learner).await;
    let (member, members) = added.map_err(status::of_proposal)?;
    let (header, members) = members_after(access, Ok(members))?;
    Ok(pb::MemberAddResponse {
        header,
        member: Some(to_wire(member)),
        members,
    })
}

fn members_after(access: &Access, changed: Changed) -> Result<HeaderAndMembers, Status> {
    let members = changed.map_err(status::of_proposal)?;
    let header = access.header(Revision(0));
    Ok((Some(header), members.into_iter().map(to_wire).collect()))
}

type HeaderAndMembers = (Option<pb::ResponseHeader>, Vec<pb::Member>);

/// Returns a member as clients see it.
pub(crate) fn to_wire(member: command::Member) -> pb::Member {
    pb::Member {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        is_learner: member.is_learner,
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let access = self.context.admit(Method::MemberList, &request).await?;
        reply(list(&access, request.into_inner()).await)
    }

    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        let access = self.context.admit(Method::MemberAdd, &request).await?;
        reply(add(&access, request.into_inner()).await)
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        let access = self.context.admit(Method::MemberRemove, &request).await?;
        let changed = access
            .remove_member(MemberId(request.into_inner().id))
            .await;
        let answer = members_after(&access, changed)
            .map(|(header, members)| pb::MemberRemoveResponse { header, members });
        reply(answer)
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        let access = self.context.admit(Method::MemberUpdate, &request).await?;
        let pb::MemberUpdateRequest { id, peer_urls } = request.into_inner();
        let changed = access.update_member(MemberId(id), &peer_urls).await;
        let answer = members_after(&access, changed)
            .map(|(header, members)| pb::MemberUpdateResponse { header, members });
        reply(answer)
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        let access = self.context.admit(Method::MemberPromote, &request).await?;
        let changed = access
            .promote_member(MemberId(request.into_inner().id))
            .await;
        let stats = access.stats();
        match &changed {
            Ok(_) => stats.promotions.inc(),
            Err(error) => {
                let reason = error.api_error().text();
                stats.promotions_failed.with_label_values(&[reason]).inc();
            }
        }
        let answer = members_after(&access, changed)
            .map(|(header, members)| pb::MemberPromoteResponse { header, members });
        reply(answer)
    }
}
