//! Identity of a member with an empty data directory: one of the first members of a new cluster, or
//! a member that was added to a running cluster.
//!
//! The disk does not say which, so the configuration does, and the other members are asked whether
//! they agree. The danger is a member that has lost its memory: raft relies on each member
//! remembering its votes and the entries that it acknowledged. A member whose directory was emptied
//! and that starts under its old id could vote a second time in the same term, or help to lose an
//! acknowledged entry. So an id that the cluster knows as started is never used again: the member
//! has to be removed and added again, which gives it a new id.
//!
//! * **new**: the identity follows from `--initial-cluster` ([`NewCluster`]). The other members are
//!   asked once and briefly, since most often they are starting as well and cannot answer. A
//!   missing answer counts as agreement. But while a member has no data beyond its beginning, it
//!   asks each other member again as soon as it can be reached, before it sends any raft message to
//!   it (`peer/link.rs`).
//! * **existing**: only the other members know the identity, so the member does not start without
//!   an answer. It asks in rounds. A member that answers may be behind and not know the new member
//!   yet, so a list that does not match is requested a few more times before it is an error.
//!
//! Members are found by their peer URLs, compared as text. The cluster's list and that of
//! `--initial-cluster` must be the same: a different list was written for another state of the
//! cluster, or most often for another cluster.

use std::time::Duration;

use conclave_core::stores::{NewCluster, Origin};
use conclave_proto::command::Member;
use conclave_proto::peer::Introduction;
use conclave_storage::membership::majority;
use conclave_storage::{ClusterId, MemberId};
use tokio::task::JoinSet;

use crate::config::{Config, InitialClusterState, InitialMember, MemberUrl};
use crate::start::ids;

mod error;
#[cfg(test)]
mod tests;

pub use error::JoinError;

/// Timeouts and retries for asking the other members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Time to wait for the answers of a round.
    pub(crate) round: Duration,
    /// Pause between two rounds.
    pub(crate) pause: Duration,
    /// Maximum number of rounds when a member joins.
    pub(crate) rounds: u32,
    /// Maximum number of rounds in which the list of members does not match.
    pub(crate) misfits: u32,
}

impl Default for Patience {
    /// Ten seconds if no member answers, five if members refuse.
    fn default() -> Patience {
        Patience {
            round: Duration::from_secs(1),
            pause: Duration::from_secs(1),
            rounds: 5,
            misfits: 3,
        }
    }
}

/// The answer of one of the other members.
type Answered<'a> = (&'a InitialMember, Result<Introduction, String>);

/// Determines the identity of this member. `introduce` asks the member with these peer URLs for its
/// cluster's members; its error is a text for the operator.
pub(crate) async fn origin<A, F>(
    config: &Config,
    patience: Patience,
    introduce: A,
) -> Result<Origin, JoinError>
where
    A: Fn(Vec<MemberUrl>) -> F,
    F: Future<Output = Result<Introduction, String>> + Send + 'static,
{
    if let Err(reason) = &config.initial_cluster {
        return Err(JoinError::Flags(reason.clone()));
    }
    let identity = ids::new_cluster(config);
    let others = others(config);
    if config.initial_cluster_state == InitialClusterState::New {
        let answers = ask(&others, patience.round, &introduce).await;
        check_new(config, &identity, &answers)?;
        return Ok(Origin::New(identity));
    }
    if others.is_empty() {
        return Err(JoinError::NobodyToAsk);
    }
    let (mut round, mut misfits) = (1, 0);
    loop {
        let answers = ask(&others, patience.round, &introduce).await;
        let error = match joined(config, &answers) {
            Ok(origin) => return Ok(origin),
            Err(error) => error,
        };
        misfits += u32::from(error.is_misfit());
        let may_change = error.is_misfit() || matches!(error, JoinError::Unreachable { .. });
        if !may_change || round >= patience.rounds || misfits >= patience.misfits {
            return Err(error);
        }
        tracing::info!(%error, round, "cannot join the cluster yet; asking again");
        round += 1;
        tokio::time::sleep(patience.pause).await;
    }
}

/// Returns the members of the initial cluster except this one.
fn others(config: &Config) -> Vec<&InitialMember> {
    let members = config.initial_members().iter();
    members.filter(|m| m.name != config.name).collect()
}

/// Asks all members at the same time. A member that has not answered within `time` counts as
/// failed.
async fn ask<'a, A, F>(
    others: &[&'a InitialMember],
    time: Duration,
    introduce: &A,
) -> Vec<Answered<'a>>
where
    A: Fn(Vec<MemberUrl>) -> F,
    F: Future<Output = Result<Introduction, String>> + Send + 'static,
{
    let mut asked = JoinSet::new();
    for (position, member) in others.iter().enumerate() {
        let answer = tokio::time::timeout(time, introduce(member.peer_urls.clone()));
        asked.spawn(async move {
            let late = |_| Err(format!("no answer within {time:?}"));
            (position, answer.await.unwrap_or_else(late))
        });
    }
    let mut answers = asked.join_all().await;
    // In the order of names, so that the same cluster gives the same text.
    answers.sort_by_key(|(position, _)| *position);
    let named = answers.into_iter();
    named
        .map(|(position, answer)| (others[position], answer))
        .collect()
}

/// Returns an error if an answer shows that this member cannot start a new cluster.
fn check_new(
    config: &Config,
    identity: &NewCluster,
    answers: &[Answered<'_>],
) -> Result<(), JoinError> {
    let member_id = identity.member_id;
    let mut foreign = Vec::new();
    for (other, answer) in answers {
        let Ok(theirs) = answer else { continue };
        if theirs.removed.contains(&member_id.0) {
            return Err(JoinError::Removed { member_id });
        }
        let their_cluster = ClusterId(theirs.cluster_id);
        if their_cluster != identity.cluster_id {
            foreign.push((other, their_cluster));
            continue;
        }
        let ourselves = theirs.members.iter().find(|m| m.id == member_id.0);
        // The cluster's id depends on its first members, so this member was one of them.
        let ourselves = ourselves.ok_or(JoinError::Removed { member_id })?;
        check_has_not_started(config, ourselves)?;
    }
    // The member of another cluster may be the one with the wrong configuration, and must not keep
    // the others from starting: it is refused when it connects to them. If too few members are left
    // for a majority, our own configuration is wrong.
    let majority = majority(config.initial_members().len());
    for &(other, theirs) in &foreign {
        let (other, ours) = (other.name.clone(), identity.cluster_id);
        if config.initial_members().len() - foreign.len() < majority {
            return Err(JoinError::ForeignCluster {
                other,
                theirs,
                ours,
            });
        }
        tracing::warn!(
            member = other,
            theirs = theirs.to_string(),
            ours = ours.to_string(),
            "a member of --initial-cluster belongs to another cluster: check --initial-cluster and \
             --initial-cluster-token there and here"
        );
    }
    Ok(())
}

/// Returns the identity of this member in the cluster that answered.
fn joined(config: &Config, answers: &[Answered<'_>]) -> Result<Origin, JoinError> {
    let introductions: Vec<(&InitialMember, &Introduction)> = answers
        .iter()
        .filter_map(|(other, answer)| Some((*other, answer.as_ref().ok()?)))
        .collect();
    let Some((first, introduction)) = introductions.first() else {
        return Err(JoinError::unreachable(answers));
    };
    let cluster_id = ClusterId(introduction.cluster_id);
    for (other, theirs) in &introductions {
        let their_cluster = ClusterId(theirs.cluster_id);
        if their_cluster != cluster_id {
            return Err(JoinError::TwoClusters {
                first: (first.name.clone(), cluster_id),
                second: (other.name.clone(), their_cluster),
            });
        }
    }
    let is_removed = |id: MemberId| {
        let mut removed = introductions.iter().flat_map(|(_, theirs)| &theirs.removed);
        removed.any(|removed| *removed == id.0)
    };
    // A member whose list has us is up to date, whatever the others say, unless the id in its list
    // has been removed since.
    let mut misfit = None;
    for (_, theirs) in &introductions {
        match find_ourselves(config, &theirs.members) {
            Ok(ourselves) if is_removed(MemberId(ourselves.id)) => {
                let member_id = MemberId(ourselves.id);
                misfit = misfit.or(Some(JoinError::Removed { member_id }));
            }
            Ok(ourselves) => {
                check_has_not_started(config, ourselves)?;
                return Ok(Origin::Joined {
                    cluster_id,
                    member_id: MemberId(ourselves.id),
                    members: theirs.members.clone(),
                });
            }
            Err(error) => misfit = misfit.or(Some(error)),
        }
    }
    Err(misfit.unwrap_or_else(|| JoinError::unreachable(answers)))
}

/// Returns our entry in the cluster's list, which must be equal to the configured list.
fn find_ourselves<'a>(config: &Config, members: &'a [Member]) -> Result<&'a Member, JoinError> {
    let own_entry = config.own_entry();
    let own = texts(&own_entry.peer_urls);
    let Some(ourselves) = members.iter().find(|member| sorted(member) == own) else {
        return Err(JoinError::NotAdded {
            name: config.name.clone(),
            peer_urls: own.join(","),
        });
    };
    let mut configured: Vec<Vec<&str>> = config
        .initial_members()
        .iter()
        .map(|member| texts(&member.peer_urls))
        .collect();
    let mut actual: Vec<Vec<&str>> = members.iter().map(sorted).collect();
    configured.sort();
    actual.sort();
    if configured != actual {
        return Err(JoinError::different_lists(&configured, &actual));
    }
    Ok(ourselves)
}

fn check_has_not_started(config: &Config, ourselves: &Member) -> Result<(), JoinError> {
    if has_started(ourselves) {
        return Err(already_started(config, MemberId(ourselves.id)));
    }
    Ok(())
}

/// Returns true if the member has published its name and addresses: it has run, and had a data
/// directory.
pub(crate) fn has_started(member: &Member) -> bool {
    !member.name.is_empty() || !member.client_urls.is_empty()
}

/// Returns the error for a member without data that the cluster knows as started.
pub(crate) fn already_started(config: &Config, member_id: MemberId) -> JoinError {
    JoinError::AlreadyStarted {
        member_id,
        data_dir: config.data_dir.clone(),
        name: config.name.clone(),
        peer_urls: texts(&config.own_entry().peer_urls).join(","),
    }
}

fn texts(urls: &[MemberUrl]) -> Vec<&str> {
    let mut texts: Vec<&str> = urls.iter().map(MemberUrl::as_str).collect();
    texts.sort_unstable();
    texts
}

fn sorted(member: &Member) -> Vec<&str> {
    let mut urls: Vec<&str> = member.peer_urls.iter().map(String::as_str).collect();
    urls.sort_unstable();
    urls
}
