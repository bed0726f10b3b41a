//! Membership changes: the conditions that a change must meet before it is proposed.
//!
//! Rules that every member must judge alike are in the state machine
//! ([`conclave_storage::membership`]). The conditions here depend on the moment and on this
//! member's configuration: whether enough members are up for the cluster to survive the change, how
//! many learners are allowed, whether a learner has caught up.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::task::JoinSet;

use conclave_proto::ApiError;
use conclave_proto::command::member_change::Change;
use conclave_proto::command::{Member, MemberUrls};
use conclave_proto::peer::{answer, question};
use conclave_storage::MemberId;
use conclave_storage::membership as rules;

use crate::config::{MemberUrl, url_without_userinfo};
use crate::start::ids;
use conclave_core::handle::{Handle, ProposeError, Refused};
use conclave_core::leader_queries::is_learner_ready;
use conclave_core::limits;

mod quorum;

/// Interval of the checks for learners to promote, where promotion is automatic.
const PROMOTION_INTERVAL: Duration = Duration::from_millis(500);

/// Pause before each check whether a majority answers, while the newest membership is being
/// requested; and the number of such checks in a row that must fail. A broken connection is
/// restored within half a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const LOST_AFTER_LOOKS: u32 = 2;

/// The members after a change.
pub(crate) type Changed = Result<Vec<Member>, ProposeError>;

/// Adds a member with these peer URLs, and returns the member too.
pub(crate) async fn add(
    handle: &Handle,
    peer_urls: &[String],
    is_learner: bool,
) -> Result<(Member, Vec<Member>), ProposeError> {
    let urls = parse_urls(peer_urls)?;
    let seconds = handle.clock().wall_ms() / 1000;
    let member = Member {
        id: ids::member_id(&urls, "", Some(seconds)).0,
        peer_urls: texts(&urls),
        is_learner,
        ..Member::default()
    };
    let change = match is_learner {
        true => rules::Change::AddLearner(member.clone()),
        false => rules::Change::Add(member.clone()),
    };
    check(handle, &change).await?;
    let members = handle.propose_change(Change::Add(member.clone())).await?;
    Ok((member, members))
}

/// Promotes a learner, if it has caught up.
pub(crate) async fn promote(handle: &Handle, id: MemberId) -> Changed {
    let change = rules::Change::Promote { id };
    let members = check_rules_or_majority(handle, &change).await?;
    if !learner_is_ready(handle, id).await? {
        return Err(Refused(ApiError::LearnerNotReady).into());
    }
    check_quorum(handle, &members, &change).await?;
    handle.propose_change(Change::Promote(id.0)).await
}

pub(crate) async fn remove(handle: &Handle, id: MemberId) -> Changed {
    check(handle, &rules::Change::Remove { id }).await?;
    handle.propose_change(Change::Remove(id.0)).await
}

/// Changes the peer URLs of a member.
pub(crate) async fn update(handle: &Handle, id: MemberId, peer_urls: &[String]) -> Changed {
    let urls = parse_urls(peer_urls)?;
    let change = rules::Change::Update {
        id,
        peer_urls: texts(&urls),
    };
    check_rules(handle, &change).await?;
    let urls = MemberUrls {
        member_id: id.0,
        peer_urls: texts(&urls),
    };
    handle.propose_change(Change::Update(urls)).await
}

/// Parses the peer URLs of a member. There must be at least one, not too many, each a URL that
/// members can dial, and no duplicates. These are the rules of `--initial-cluster`, which the new
/// member must be started with. In etcd too, one rule holds for both, except that it allows
/// sockets, which its members can use. The reason of a refusal is logged, because the error for the
/// client has no room for it.
fn parse_urls(peer_urls: &[String]) -> Result<Vec<MemberUrl>, Refused> {
    let refuse = |reason: String| {
        tracing::warn!(reason, "refused the peer URLs of a member");
        Refused(ApiError::MemberBadURLs)
    };
    // Every member keeps the URLs for ever, and dials them.
    let bytes: usize = peer_urls.iter().map(String::len).sum();
    if peer_urls.len() > limits::PEER_URLS_MAX || bytes > limits::PEER_URLS_BYTES_MAX {
        return Err(refuse(format!("{} URLs of {bytes} bytes", peer_urls.len())));
    }
    let mut urls: Vec<MemberUrl> = Vec::new();
    for text in peer_urls {
        let url = MemberUrl::parse(text)
            .map_err(|reason| refuse(format!("{:?}: {reason}", url_without_userinfo(text))))?;
        url.check_dialled_by_members()
            .map_err(|reason| refuse(format!("{url}: {reason}")))?;
        if urls.contains(&url) {
            return Err(refuse(format!("{url} is given twice")));
        }
        urls.push(url);
    }
    if urls.is_empty() {
        return Err(refuse("no URL is given".to_owned()));
    }
    Ok(urls)
}

fn texts(urls: &[MemberUrl]) -> Vec<String> {
    urls.iter().map(MemberUrl::to_string).collect()
}

async fn check(handle: &Handle, change: &rules::Change) -> Result<(), Refused> {
    let members = check_rules_or_majority(handle, change).await?;
    check_quorum(handle, &members, change).await
}

/// Like `check_rules`, but fails as soon as no majority answers. Otherwise an operator who changes
/// the membership because members are lost would wait until the request for the newest membership
/// times out. etcd's check does not request it.
async fn check_rules_or_majority(
    handle: &Handle,
    change: &rules::Change,
) -> Result<Vec<Member>, Refused> {
    tokio::select! {
        biased;
        members = check_rules(handle, change) => members,
        () = majority_is_lost(handle) => Err(Refused(ApiError::Unhealthy)),
    }
}

/// Checks the rules on the newest membership, since a client may just have changed it through
/// another member. Returns the members.
async fn check_rules(handle: &Handle, change: &rules::Change) -> Result<Vec<Member>, Refused> {
    handle.linearize().await?;
    let membership = handle.reader().membership();
    let max_learners = handle.settings().reconfiguration.max_learners;
    membership
        .check_proposal(change, max_learners)
        .map_err(Refused)?;
    Ok(membership.members())
}

/// Returns if the check is strict and this member finds twice in a row that no majority answers.
async fn majority_is_lost(handle: &Handle) {
    if !handle.settings().reconfiguration.strict {
        return std::future::pending().await;
    }
    let mut looks = 0;
    while looks < LOST_AFTER_LOOKS {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let members = handle.reader().members();
        let connected = connected(handle, &members).await;
        looks = match quorum::majority_answers(&members, |id| connected.contains_key(&id)) {
            true => 0,
            false => looks + 1,
        };
    }
}

async fn check_quorum(
    handle: &Handle,
    members: &[Member],
    change: &rules::Change,
) -> Result<(), Refused> {
    if !handle.settings().reconfiguration.strict {
        return Ok(());
    }
    let connected = connected(handle, members).await;
    quorum::check(members, change, |id| connected.get(&id).copied())
}

/// Returns how long this member has been connected to each member, and for ever to itself. Only
/// members that answer now are included, since a process that hangs keeps its connections for
/// seconds.
async fn connected(handle: &Handle, members: &[Member]) -> BTreeMap<MemberId, Duration> {
    let own = handle.identity().member_id;
    let mut asking = JoinSet::new();
    for member in members.iter().filter(|member| member.id != own.0) {
        let id = MemberId(member.id);
        let Some(since) = handle.peers().connected_since(id) else {
            continue;
        };
        let connected_for = handle.clock().now().since(since);
        // Any question that involves the other member's driver would do: without its driver a
        // member is not up.
        let answer = handle
            .peers()
            .ask(id, question::Question::LearnerReady(id.0));
        asking.spawn(async move { answer.await.ok().map(|_| (id, connected_for)) });
    }
    let answered = asking.join_all().await.into_iter().flatten();
    answered.chain([(own, Duration::MAX)]).collect()
}

/// Asks the leader whether a learner has caught up.
async fn learner_is_ready(handle: &Handle, id: MemberId) -> Result<bool, Refused> {
    let raft_status = handle.status();
    if raft_status.is_leader {
        return is_learner_ready(handle, id).await;
    }
    let question = question::Question::LearnerReady(id.0);
    match handle.peers().ask(raft_status.leader, question).await {
        Ok(answer::Answer::LearnerReady(ready)) => Ok(ready),
        Ok(_) => Err(Refused(ApiError::NotCapable)),
        Err(_) => Err(Refused(ApiError::Timeout)),
    }
}

/// Promotes learners as soon as they have caught up and are up, while this member leads.
pub(crate) async fn promote_learners(handle: Handle, promotions: IntCounter) {
    let stopping = handle.stopping().clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PROMOTION_INTERVAL) => {}
            () = stopping.cancelled() => return,
        }
        if !handle.status().is_leader {
            continue;
        }
        let members = handle.reader().members();
        if !members.iter().any(|member| member.is_learner) {
            continue;
        }
        let connected = tokio::select! {
            connected = connected(&handle, &members) => connected,
            () = stopping.cancelled() => return,
        };
        let ready = members.iter().filter(|member| {
            let connected_for = |id| connected.get(&id).copied();
            member.is_learner && quorum::survives_promotion(&members, member, connected_for)
        });
        for learner in ready {
            let promoted = tokio::select! {
                promoted = promote(&handle, MemberId(learner.id)) => promoted,
                () = stopping.cancelled() => return,
            };
            match promoted {
                Ok(_) => {
                    promotions.inc();
                    tracing::debug!(member = learner.name, "promoted a learner");
                }
                Err(error) => tracing::debug!(%error, "cannot promote a learner yet"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_bounded_in_number_and_bytes() {
        let urls = |count: usize, host: &str| -> Vec<String> {
            (1..=count)
                .map(|port| format!("http://{host}:{port}"))
                .collect()
        };
        let refused =
            |urls: &[String]| matches!(parse_urls(urls), Err(Refused(ApiError::MemberBadURLs)));
        assert!(!refused(&urls(limits::PEER_URLS_MAX, "a")));
        assert!(refused(&urls(limits::PEER_URLS_MAX + 1, "a")));
        assert!(refused(&urls(1, &"a".repeat(limits::PEER_URLS_BYTES_MAX))));
        assert!(refused(&urls(0, "a")));
    }
}
