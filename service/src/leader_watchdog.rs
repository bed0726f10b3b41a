//! Says in the log that there is no leader, when that lasts longer than an election does.
//!
//! Clients of such a member wait and time out, and nothing else on it happens: without these lines
//! its log would be silent about the one thing that is wrong.

use std::time::Duration;

use conclave_core::handle::Handle;
use conclave_storage::MemberId;
use conclave_storage::membership::majority;

/// From one reminder to the next.
const REMINDER: Duration = Duration::from_secs(60);

/// Runs until the member stops.
pub(crate) async fn watch(handle: Handle, election_timeout: Duration) {
    let stopping = handle.stopping().clone();
    tokio::select! {
        () = follow(&handle, election_timeout) => {}
        () = stopping.cancelled() => {}
    }
}

async fn follow(handle: &Handle, election_timeout: Duration) {
    let mut raft_statuses = handle.raft_statuses();
    // The sender lives as long as the handle.
    while raft_statuses
        .wait_for(|now| now.leader == MemberId::NONE)
        .await
        .is_ok()
    {
        let since = handle.clock().now();
        // An election begins within two timeouts, and takes a moment.
        let mut patience = election_timeout * 3;
        loop {
            tokio::select! {
                _ = raft_statuses.wait_for(|now| now.leader != MemberId::NONE) => break,
                () = tokio::time::sleep(patience) => {}
            }
            let leaderless = handle.clock().now().since(since);
            say(handle, leaderless);
            patience = REMINDER;
        }
    }
}

fn say(handle: &Handle, leaderless: Duration) {
    let own = handle.identity().member_id;
    let members = handle.reader().members();
    let voters: Vec<_> = members.iter().filter(|member| !member.is_learner).collect();
    let missing: Vec<String> = voters
        .iter()
        .filter(|member| {
            let id = MemberId(member.id);
            id != own && handle.peers().connected_since(id).is_none()
        })
        .map(|member| match member.name.as_str() {
            // It has not started yet, or this member has not heard of it.
            "" => member.peer_urls.join(" "),
            name => name.to_owned(),
        })
        .collect();
    tracing::warn!(
        seconds = leaderless.as_secs(),
        voters = voters.len(),
        majority = majority(voters.len()),
        not_connected = missing.join(","),
        "there is no leader: writes and linearizable reads wait"
    );
}
