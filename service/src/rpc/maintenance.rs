//! `etcdserverpb.Maintenance`: alarms, status, hashes and space of this member.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::etcdserverpb::alarm_request::AlarmAction;
use conclave_proto::etcdserverpb::maintenance_server::Maintenance;
use conclave_proto::etcdserverpb::{AlarmMember, AlarmType};
use conclave_storage::MemberId;
use conclave_storage::reader::{ReadError, Reader};
use prometheus::HistogramTimer;
use tonic::{Request, Response, Status};

use super::{Access, Context, not_yet, reply, status};
use crate::method::Method;
use crate::version::{API_VERSION, CLUSTER_VERSION};

#[derive(Clone)]
pub(crate) struct Service {
    context: Context,
}

impl Service {
    pub(crate) fn new(context: Context) -> Service {
        Service { context }
    }
}

/// Lists, raises or clears alarms. Only the last two are proposed. An unknown action lists nothing.
async fn alarm(access: &Access, request: pb::AlarmRequest) -> Result<pb::AlarmResponse, Status> {
    match AlarmAction::try_from(request.action) {
        Ok(AlarmAction::Get) => alarms(access, request.alarm).await,
        Ok(AlarmAction::Activate | AlarmAction::Deactivate) => access.propose(request).await,
        Err(_) => {
            let header = access.header_now();
            Ok(pb::AlarmResponse {
                header,
                alarms: Vec::new(),
            })
        }
    }
}

/// Lists the alarms of one type, or all for type NONE. The request's member id has no effect.
async fn alarms(access: &Access, wanted: i32) -> Result<pb::AlarmResponse, Status> {
    access.linearize().await.map_err(status::of_refused)?;
    let header = access.header_now();
    let mut alarms = access.alarms();
    alarms.retain(|alarm| wanted == AlarmType::None as i32 || alarm.alarm == wanted);
    Ok(pb::AlarmResponse { header, alarms })
}

fn status(access: &Access) -> pb::StatusResponse {
    let raft_status = access.status();
    let sizes = access.sizes();
    pb::StatusResponse {
        header: access.header_now(),
        version: API_VERSION.to_owned(),
        // What the quota speaks of: etcd's alerts and people compare the two.
        db_size: size(sizes.logical),
        leader: raft_status.leader.0,
        raft_index: raft_status.committed_index.0,
        raft_term: raft_status.term.0,
        raft_applied_index: raft_status.applied_index.0,
        errors: errors(raft_status.leader, &access.alarms()),
        db_size_in_use: size(sizes.logical),
        is_learner: raft_status.is_learner,
        storage_version: CLUSTER_VERSION.to_owned(),
        db_size_quota: access.settings().quota_bytes.map_or(0, size),
        downgrade_info: Some(pb::DowngradeInfo::default()),
    }
}

async fn hash(access: &Access) -> Result<pb::HashResponse, Status> {
    let header = access.header_now();
    let duration = access.stats().hash.clone();
    let hash = move |reader: &Reader| {
        let timer = duration.start_timer();
        let hash = reader.hash();
        observe(timer, &hash);
        hash
    };
    Ok(pb::HashResponse {
        header,
        hash: access.read(hash).await?,
    })
}

async fn hash_kv(
    access: &Access,
    request: pb::HashKvRequest,
) -> Result<pb::HashKvResponse, Status> {
    let duration = access.stats().hash_rev.clone();
    let hash = move |reader: &Reader| {
        let timer = duration.start_timer();
        let hash = reader.hash_kv(request.revision);
        observe(timer, &hash);
        hash
    };
    let hashed = access.read(hash).await?;
    Ok(pb::HashKvResponse {
        header: access.header_now(),
        hash: hashed.hash,
        compact_revision: hashed.compact_revision,
        hash_revision: hashed.hash_revision,
    })
}

/// Reclaims space. Unlike in etcd, reads and writes go on. The response has no header, as in etcd.
async fn defragment(access: &Access) -> Result<pb::DefragmentResponse, Status> {
    access.reclaim().await?;
    Ok(pb::DefragmentResponse { header: None })
}

/// Returns what is wrong, in the words that `etcdctl endpoint status` prints.
fn errors(leader: MemberId, alarms: &[AlarmMember]) -> Vec<String> {
    let leaderless = (leader == MemberId::NONE).then(|| ApiError::NoLeader.text().to_owned());
    leaderless
        .into_iter()
        .chain(alarms.iter().map(alarm_text))
        .collect()
}

/// Formats an alarm as Go prints the message: fields that are zero are left out, and each is
/// followed by a blank.
fn alarm_text(alarm: &AlarmMember) -> String {
    let mut text = String::new();
    if alarm.member_id != 0 {
        text.push_str(&format!("memberID:{} ", alarm.member_id));
    }
    match AlarmType::try_from(alarm.alarm) {
        Ok(AlarmType::None) => {}
        Ok(kind @ (AlarmType::Nospace | AlarmType::Corrupt)) => {
            text.push_str(&format!("alarm:{} ", kind.as_str_name()));
        }
        Err(_) => text.push_str(&format!("alarm:{} ", alarm.alarm)),
    }
    text
}

/// Ends a measurement. A read that was stopped at the end of its budget begins again and does not
/// count.
fn observe<T>(timer: HistogramTimer, outcome: &Result<T, ReadError>) {
    match outcome {
        Err(ReadError::Stopped) => drop(timer.stop_and_discard()),
        _ => timer.observe_duration(),
    }
}

/// Returns a size as the wire has it, signed.
fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl Maintenance for Service {
    async fn alarm(
        &self,
        request: Request<pb::AlarmRequest>,
    ) -> Result<Response<pb::AlarmResponse>, Status> {
        let access = self.context.admit(Method::Alarm, &request).await?;
        reply(alarm(&access, request.into_inner()).await)
    }

    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let access = self.context.admit(Method::Status, &request).await?;
        reply(Ok(status(&access)))
    }

    async fn defragment(
        &self,
        request: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        let access = self.context.admit(Method::Defragment, &request).await?;
        reply(defragment(&access).await)
    }

    async fn hash(
        &self,
        request: Request<pb::HashRequest>,
    ) -> Result<Response<pb::HashResponse>, Status> {
        let access = self.context.admit(Method::Hash, &request).await?;
        reply(hash(&access).await)
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        let access = self.context.admit(Method::HashKv, &request).await?;
        reply(hash_kv(&access, request.into_inner()).await)
    }

    type SnapshotStream = tokio_stream::Empty<Result<pb::SnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.context.admit(Method::Snapshot, &request).await?;
        not_yet(Method::Snapshot)
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        let access = self.context.admit(Method::MoveLeader, &request).await?;
        let to = MemberId(request.into_inner().target_id);
        let moved = access.transfer_leadership(to).await;
        let answer = moved.map(|()| pb::MoveLeaderResponse { header: None });
        reply(answer.map_err(status::of_api))
    }

    async fn downgrade(
        &self,
        request: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        self.context.admit(Method::Downgrade, &request).await?;
        not_yet(Method::Downgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_etcdctl_shows_them() {
        let alarm = |member_id, alarm: AlarmType| AlarmMember {
            member_id,
            alarm: alarm as i32,
        };
        assert!(errors(MemberId(7), &[]).is_empty());
        assert_eq!(
            errors(
                MemberId::NONE,
                &[alarm(3, AlarmType::Nospace), alarm(0, AlarmType::Corrupt)]
            ),
            [
                "etcdserver: no leader",
                "memberID:3 alarm:NOSPACE ",
                "alarm:CORRUPT "
            ]
        );
    }
}
