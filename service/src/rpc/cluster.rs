//! `etcdserverpb.Cluster`: who is a member. Changing that is not in this version.

use conclave_proto::command;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::etcdserverpb::cluster_server::Cluster;
use conclave_storage::Revision;
use tonic::{Request, Response, Status};

use super::method::Method;
use super::{Context, not_yet, reply};

/// See the module.
#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }

    /// The header has no revision: membership is not part of the key space's history.
    async fn list(&self, request: pb::MemberListRequest) -> Result<pb::MemberListResponse, Status> {
        let handle = &self.context.handle;
        if request.linearizable {
            self.context.linearize().await?;
        }
        let members = handle.reader().members();
        Ok(pb::MemberListResponse {
            header: Some(handle.header(Revision(0))),
            members: members.into_iter().map(to_wire).collect(),
        })
    }
}

/// A member as clients see it.
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
        let call = self.context.admit(Method::MemberList, request.metadata())?;
        reply(call, self.list(request.into_inner()).await)
    }

    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        let call = self.context.admit(Method::MemberAdd, request.metadata())?;
        not_yet(call, Method::MemberAdd)
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        let call = self
            .context
            .admit(Method::MemberRemove, request.metadata())?;
        not_yet(call, Method::MemberRemove)
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        let call = self
            .context
            .admit(Method::MemberUpdate, request.metadata())?;
        not_yet(call, Method::MemberUpdate)
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        let call = self
            .context
            .admit(Method::MemberPromote, request.metadata())?;
        not_yet(call, Method::MemberPromote)
    }
}
