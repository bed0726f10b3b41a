//! Authentication in a cluster: users, roles and logins are every member's.

use conclave_proto::ApiError;
use conclave_proto::authpb::permission::Type;
use harness::api::{get, put};
use harness::login::{Administrator, CHEAP_HASHES, PASSWORD, log_in, with_token};
use harness::{Cluster, refused};
use tonic::Status;

use crate::on_three;

pub(crate) async fn enabled(cluster: &Cluster) -> Administrator {
    let mut root = Administrator::new(cluster.channel(0));
    root.add_role("app", Type::Readwrite, "app/", "app0").await;
    root.add_user("alice", &["app"]).await;
    root.enable().await;
    root
}

pub(crate) async fn write(cluster: &Cluster, through: usize, token: &str) -> Result<(), Status> {
    let request = with_token(token, put("app/a", "1"));
    cluster.kv(through).put(request).await.map(drop)
}

pub(crate) async fn read(cluster: &Cluster, through: usize, token: &str) -> Result<(), Status> {
    let request = with_token(token, get("app/a"));
    cluster.kv(through).range(request).await.map(drop)
}

/// A token that one member gave, a role that was granted or revoked through one: all members know
/// it by the time of the answer, however far they are behind.
#[test]
fn what_one_member_did_all_members_know() {
    on_three(&[CHEAP_HASHES], |cluster| async move {
        let root = enabled(&cluster).await;
        for through in cluster.numbers() {
            let user = format!("user{through}");
            root.add_user(&user, &[]).await;
            let token = log_in(cluster.channel(through), &user, PASSWORD)
                .await
                .unwrap();
            for other in cluster.numbers() {
                refused(
                    write(&cluster, other, &token).await,
                    ApiError::PermissionDenied,
                );
                root.grant(&user, "app").await;
                write(&cluster, other, &token).await.unwrap();
                read(&cluster, other, &token).await.unwrap();
                root.revoke(&user, "app").await;
                refused(
                    read(&cluster, other, &token).await,
                    ApiError::PermissionDenied,
                );
                refused(
                    write(&cluster, other, &token).await,
                    ApiError::PermissionDenied,
                );
            }
        }
        refused(write(&cluster, 1, "").await, ApiError::UserEmpty);
    });
}
