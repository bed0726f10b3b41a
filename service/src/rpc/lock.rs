//! `v3lockpb.Lock`: a lock is a [`ballot`] queue whose keys have no values.

use conclave_proto::etcdserverpb::DeleteRangeRequest;
use conclave_proto::v3lockpb::lock_server::Lock;
use conclave_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use conclave_storage::LeaseId;
use conclave_storage::machine::validate as rules;
use tonic::{Request, Response, Status};

use super::ballot::{self, Wish};
use super::{Access, Context, reply, status};
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

async fn lock(access: &Access, wish: Wish) -> Result<LockResponse, Status> {
    let place = ballot::contend(access, wish).await?;
    Ok(LockResponse {
        header: Some(place.turn),
        key: place.key,
    })
}

/// Deletes the key. As in etcd, the key's name is all that a caller needs for it.
async fn unlock(access: &Access, request: UnlockRequest) -> Result<UnlockResponse, Status> {
    let delete = DeleteRangeRequest {
        key: request.key,
        ..Default::default()
    };
    rules::check_delete(&delete).map_err(status::of_api)?;
    let response = access.propose(delete).await?;
    Ok(UnlockResponse {
        header: response.header,
    })
}

#[tonic::async_trait]
impl Lock for Service {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let access = self.context.admit(Method::Lock, &request).await?;
        let LockRequest { name, lease } = request.into_inner();
        let wish = Wish {
            name,
            lease: LeaseId(lease),
            value: None,
        };
        reply(lock(&access, wish).await)
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let access = self.context.admit(Method::Unlock, &request).await?;
        reply(unlock(&access, request.into_inner()).await)
    }
}
