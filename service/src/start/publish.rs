//! A member says who it is: its name and where clients reach it, as an entry of the log.
//!
//! When that entry is applied here, there is a leader, it has committed in its term, and this
//! member has caught up with it: which is what "ready" means. A member whose attributes are known
//! already, from an earlier life, reads the state linearizably instead, which says as much.

use std::time::Duration;

use conclave_proto::command::{Member, MemberAttributes};
use conclave_storage::MemberId;
use conclave_storage::machine::GENESIS;

use crate::config::{Config, MemberUrl};
use conclave_core::handle::Handle;
use conclave_core::limits;

/// From one log line of a member that has a leader and is not ready to the next.
const REMINDER: Duration = Duration::from_secs(60);

/// Returns when the cluster knows this member's attributes.
pub(crate) async fn publish(handle: &Handle, config: &Config) {
    let since = handle.clock().now();
    let mut publishing = std::pin::pin!(attempts(handle, config));
    loop {
        tokio::select! {
            () = &mut publishing => return,
            () = tokio::time::sleep(REMINDER) => {}
        }
        let leader = handle.status().leader;
        // That there is none is logged elsewhere.
        if leader != MemberId::NONE {
            tracing::warn!(
                seconds = handle.clock().now().since(since).as_secs(),
                leader = leader.to_string(),
                applied = handle.reader().applied().index.0,
                "this member is not ready: it has not caught up with the leader"
            );
        }
    }
}

/// Publishes until it is done.
async fn attempts(handle: &Handle, config: &Config) {
    let attributes = MemberAttributes {
        member_id: handle.identity().member_id.0,
        name: config.name.clone(),
        client_urls: config
            .advertise_client_urls
            .iter()
            .map(MemberUrl::to_string)
            .collect(),
    };
    loop {
        // Until there is a leader there is nobody to tell, however long that takes.
        let mut raft_statuses = handle.raft_statuses();
        if raft_statuses
            .wait_for(|raft_status| raft_status.leader != MemberId::NONE)
            .await
            .is_err()
        {
            return;
        }
        // Before the first snapshot or entry a member has nothing to show for having run. If it
        // published itself then and started anew, it would look like one that lost its data.
        handle.applied_through(GENESIS.0.next()).await;
        let members = handle.reader().members();
        let done = if members.iter().any(|member| has(member, &attributes)) {
            handle.linearize().await.is_ok()
        } else {
            match handle.publish(attributes.clone()).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!(%error, "this member's attributes are published again");
                    false
                }
            }
        };
        if done {
            return;
        }
        tokio::time::sleep(limits::PUBLISH_RETRY).await;
    }
}

fn has(member: &Member, attributes: &MemberAttributes) -> bool {
    member.id == attributes.member_id
        && member.name == attributes.name
        && member.client_urls == attributes.client_urls
}
