//! What a member with an empty data directory is: one of those a new cluster begins with, or one
//! that was added to a cluster that runs.
//!
//! Nothing on the disk says it, so the configuration does, and the other members are asked whether
//! they agree. What this guards against is a member that forgot: raft counts on it that who has
//! voted or acknowledged an entry remembers. A member whose directory was emptied and that starts
//! under its old id could vote a second time in the same term, or help to lose what was
//! acknowledged. So an id that the cluster knows as started is never taken up anew: the member has
//! to be removed and added again, which gives it another.
//!
//! * **new**: who the members are follows from `--initial-cluster` ([`NewCluster`]). The others are
//!   asked once and briefly, since most often they are starting as well and cannot answer. Silence
//!   is no objection; but while a member has nothing but its beginning, each of the others is asked
//!   again when it can be reached, before anything of raft's is said to it (`peer/link.rs`).
//! * **existing**: only the others know who this member is, so without an answer there is no start.
//!   They are asked in rounds. A member that answers may be behind and not know of us yet, so a
//!   list that does not fit is asked for again a few times before it is an error.
//!
//! Members are found by their peer URLs, compared as text. The list of the cluster and that of
//! `--initial-cluster` must be the same: a list that differs was written for another state of the
//! cluster, most often for another cluster.

use std::time::Duration;

use conclave_core::stores::{NewCluster, Origin};
use conclave_proto::command::Member;
use conclave_proto::peer::Introduction;
use tokio::task::JoinSet;

use crate::config::{Config, InitialClusterState, InitialMember, MemberUrl};
use crate::identity;
use crate::reconfiguration::majority;

mod error;
#[cfg(test)]
mod tests;

pub use error::JoinError;

/// How long others are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the answers of a round.
    pub round: Duration,
    /// From a round to the next.
    pub pause: Duration,
    /// Rounds of a member that joins.
    pub rounds: u32,
    /// Rounds that may bring a list of members that does not fit.
    pub misfits: u32,
}

impl Default for Patience {
    /// Ten seconds with members that do not answer at all, five with members that refuse.
    fn default() -> Patience {
        Patience {
            round: Duration::from_secs(1),
            pause: Duration::from_secs(1),
            rounds: 5,
            misfits: 3,
        }
    }
}

/// What one of the others said.
type Answered<'a> = (&'a InitialMember, Result<Introduction, String>);

/// Finds out what this member is. `introduce` asks the member with these peer URLs who is in its
/// cluster; an error is for the operator to read.
pub async fn origin<A, F>(
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
    let identity = identity::new_cluster(config);
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
        tracing::info!(%error, round, "the cluster to join is asked again");
        round += 1;
        tokio::time::sleep(patience.pause).await;
    }
}

/// The members of the initial cluster but this one.
fn others(config: &Config) -> Vec<&InitialMember> {
    let members = config.initial_members().iter();
    members.filter(|m| m.name != config.name).collect()
}

/// Asks all at once. Whoever has not answered in `time` has failed to.
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
    // By name, whatever the order they came in, so that the same cluster gives the same text.
    answers.sort_by_key(|(position, _)| *position);
    let named = answers.into_iter();
    named
        .map(|(position, answer)| (others[position], answer))
        .collect()
}

/// Whether one that has answered objects to our being a member that begins.
fn check_new(
    config: &Config,
    identity: &NewCluster,
    answers: &[Answered<'_>],
) -> Result<(), JoinError> {
    let member_id = identity.member_id;
    let mut foreign = Vec::new();
    for (other, answer) in answers {
        let Ok(theirs) = answer else { continue };
        if theirs.removed.contains(&member_id) {
            return Err(JoinError::Removed { member_id });
        }
        if theirs.cluster_id != identity.cluster_id {
            foreign.push((other, theirs.cluster_id));
            continue;
        }
        let ourselves = theirs.members.iter().find(|m| m.id == member_id);
        // The cluster's id says that we were of it when it began.
        let ourselves = ourselves.ok_or(JoinError::Removed { member_id })?;
        check_has_not_started(config, ourselves)?;
    }
    // One of another cluster may be the one that is wrong, and must not keep the others from
    // starting: it is refused when it speaks to them. If nobody is left to form a majority with, it
    // is us.
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
            theirs = format!("{theirs:x}"),
            ours = format!("{ours:x}"),
            "a member of --initial-cluster is of another cluster: check --initial-cluster and \
             --initial-cluster-token there and here"
        );
    }
    Ok(())
}

/// Who this member is in the cluster that answered.
fn joined(config: &Config, answers: &[Answered<'_>]) -> Result<Origin, JoinError> {
    let introductions: Vec<(&InitialMember, &Introduction)> = answers
        .iter()
        .filter_map(|(other, answer)| Some((*other, answer.as_ref().ok()?)))
        .collect();
    let Some((first, introduction)) = introductions.first() else {
        return Err(JoinError::unreachable(answers));
    };
    let cluster_id = introduction.cluster_id;
    for (other, theirs) in &introductions {
        if theirs.cluster_id != cluster_id {
            return Err(JoinError::TwoClusters {
                first: (first.name.clone(), cluster_id),
                second: (other.name.clone(), theirs.cluster_id),
            });
        }
    }
    let is_removed = |id: u64| {
        let mut removed = introductions.iter().flat_map(|(_, theirs)| &theirs.removed);
        removed.any(|removed| *removed == id)
    };
    // One that knows us is not behind, whatever the others say, unless it knows us under an id that
    // has been removed since.
    let mut misfit = None;
    for (_, theirs) in &introductions {
        match find_ourselves(config, &theirs.members) {
            Ok(ourselves) if is_removed(ourselves.id) => {
                let member_id = ourselves.id;
                misfit = misfit.or(Some(JoinError::Removed { member_id }));
            }
            Ok(ourselves) => {
                check_has_not_started(config, ourselves)?;
                return Ok(Origin::Joined {
                    cluster_id,
                    member_id: ourselves.id,
                    members: theirs.members.clone(),
                });
            }
            Err(error) => misfit = misfit.or(Some(error)),
        }
    }
    Err(misfit.unwrap_or_else(|| JoinError::unreachable(answers)))
}

/// Our entry in the cluster's list, which must be the same as ours.
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
        return Err(already_started(config, ourselves.id));
    }
    Ok(())
}

/// A member that has published its name and addresses has run, and had a data directory.
pub(crate) fn has_started(member: &Member) -> bool {
    !member.name.is_empty() || !member.client_urls.is_empty()
}

/// What a member without data is told that has started.
pub(crate) fn already_started(config: &Config, member_id: u64) -> JoinError {
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
