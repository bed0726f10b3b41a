//! The quorum check: whether enough members are up for a cluster to survive a membership change.

use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::command::Member;
use conclave_storage::MemberId;
use conclave_storage::membership::{Change, majority};

use conclave_core::handle::Refused;

/// A member counts as up after it has been connected for this long: etcd's `HealthInterval`.
const HEALTHY_AFTER: Duration = Duration::from_secs(5);

/// etcd's strict reconfiguration check: after the change, the members that are up must still be a
/// majority. `connected_for` returns how long this member has been connected to a member that
/// answers, and for ever for itself.
pub(super) fn check(
    members: &[Member],
    change: &Change,
    connected_for: impl Fn(MemberId) -> Option<Duration>,
) -> Result<(), Refused> {
    let voters = || members.iter().filter(|member| !member.is_learner);
    let is_up = |member: &&Member| is_up(&connected_for, MemberId(member.id));
    let answers = |member: &&Member| connected_for(MemberId(member.id)).is_some();
    match change {
        Change::Add(_) => {
            // A single member may always add a second one. The rule would refuse it, since two
            // members have a majority only when the new one has started, and then no cluster could
            // begin with one member.
            let (count, started) = (voters().count() + 1, voters().filter(is_started).count());
            if started < majority(count) && !(started == 1 && count == 2) {
                return Err(Refused(ApiError::MemberNotEnoughStarted));
            }
            // The new member is not up yet, and may never be.
            if count > 2 && voters().filter(is_up).count() < majority(count) {
                return Err(Refused(ApiError::Unhealthy));
            }
        }
        Change::Promote { id } => {
            let after = || members.iter().filter(|m| !m.is_learner || m.id == id.0);
            let needed = majority(after().count());
            // The learner has caught up, so it has started.
            if voters().filter(is_started).count() + 1 < needed {
                return Err(Refused(ApiError::MemberNotEnoughStarted));
            }
            // Unlike etcd, which gives a vote to a learner that is down.
            if after().filter(answers).count() < needed {
                return Err(Refused(ApiError::Unhealthy));
            }
        }
        Change::Remove { id } => {
            let Some(leaving) = members.iter().find(|member| member.id == id.0) else {
                return Ok(());
            };
            if leaving.is_learner {
                return Ok(());
            }
            let rest = || voters().filter(|member| member.id != id.0);
            let needed = majority(rest().count());
            // A voter that is down only makes the majority larger, so removing it needs less than
            // removing one that is up. But perhaps only this member cannot reach it and its vote is
            // needed, so a majority of the rest must answer. A voter that has just connected is not
            // down.
            if !is_started(&leaving) || !answers(&leaving) {
                return match rest().filter(answers).count() >= needed {
                    true => Ok(()),
                    false => Err(Refused(ApiError::Unhealthy)),
                };
            }
            if rest().filter(is_started).count() < needed {
                return Err(Refused(ApiError::MemberNotEnoughStarted));
            }
            if rest().filter(is_up).count() < needed {
                return Err(Refused(ApiError::Unhealthy));
            }
        }
        Change::AddLearner(_) | Change::Update { .. } => {}
    }
    Ok(())
}

/// Returns true if a majority of the voters answers. Without it no change can be made.
pub(super) fn majority_answers(members: &[Member], answers: impl Fn(MemberId) -> bool) -> bool {
    let voters = || members.iter().filter(|member| !member.is_learner);
    let answering = voters()
        .filter(|member| answers(MemberId(member.id)))
        .count();
    answering >= majority(voters().count())
}

/// Returns true if the learner is up and is a majority together with the voters that are up: the
/// condition of automatic promotion.
pub(super) fn survives_promotion(
    members: &[Member],
    learner: &Member,
    connected_for: impl Fn(MemberId) -> Option<Duration>,
) -> bool {
    let is_up = |member: &&Member| is_up(&connected_for, MemberId(member.id));
    let voters = || members.iter().filter(|member| !member.is_learner);
    let up = voters().filter(is_up).count() + 1;
    is_started(&learner) && is_up(&learner) && up >= majority(voters().count() + 1)
}

fn is_up(connected_for: impl Fn(MemberId) -> Option<Duration>, id: MemberId) -> bool {
    connected_for(id).is_some_and(|time| time >= HEALTHY_AFTER)
}

/// A member publishes its name when it starts.
fn is_started(member: &&Member) -> bool {
    !member.name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a2` is voter `a`, connected for two seconds; `b` has no connection; `c-` has not started,
    /// and `d9l` is a learner. Ids are 1, 2, and so on. Member 1 does the check.
    fn cluster(text: &str) -> (Vec<Member>, Vec<Option<Duration>>) {
        let members = text.split(' ').zip(1..).map(|(word, id)| {
            let seconds = word.chars().find_map(|letter| letter.to_digit(10));
            let name = word.chars().next().expect("a name").to_string();
            let member = Member {
                id,
                name: if word.contains('-') {
                    String::new()
                } else {
                    name
                },
                is_learner: word.contains('l'),
                ..Member::default()
            };
            (
                member,
                seconds.map(|seconds| Duration::from_secs(seconds.into())),
            )
        });
        members.unzip()
    }

    fn of(times: &[Option<Duration>]) -> impl Fn(MemberId) -> Option<Duration> + '_ {
        |id| times[usize::try_from(id.0).expect("small") - 1]
    }

    fn checked(text: &str, change: &Change) -> Result<(), Refused> {
        let (members, times) = cluster(text);
        check(&members, change, of(&times))
    }

    #[test]
    fn a_voter_leaves_if_the_rest_go_on() {
        for (text, expected) in [
            ("a9 b9 c9", Ok(())),
            ("a9 b c9", Err(Refused(ApiError::Unhealthy))),
            ("a9 b c2", Err(Refused(ApiError::Unhealthy))),
            ("a9 b2 c9", Err(Refused(ApiError::Unhealthy))),
            ("a9 b- c9", Err(Refused(ApiError::MemberNotEnoughStarted))),
            // The leaving member is down, has not started, or has no vote.
            ("a9 b9 c", Ok(())),
            ("a9 b2 c", Ok(())),
            ("a9 b9 c9-", Ok(())),
            ("a9 b c9l", Ok(())),
            // The leaving member seems to be down or not to have started, and its vote is needed.
            ("a9 b c", Err(Refused(ApiError::Unhealthy))),
            ("a9 b c9-", Err(Refused(ApiError::Unhealthy))),
            ("a9 b9 c d e", Err(Refused(ApiError::Unhealthy))),
        ] {
            assert_eq!(
                checked(text, &Change::Remove { id: MemberId(3) }),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_voter_comes_if_those_that_are_up_are_a_majority_with_it() {
        let change = Change::Add(Member::default());
        for (text, expected) in [
            ("a9", Ok(())),
            ("a9 b9 c9", Ok(())),
            ("a9 b9 c2", Err(Refused(ApiError::Unhealthy))),
            ("a9 b9 c", Err(Refused(ApiError::Unhealthy))),
            ("a9 b2", Err(Refused(ApiError::Unhealthy))),
            ("a9 b9 c9 d", Ok(())),
            ("a9 b9 c9 d2", Ok(())),
            ("a9 b9 c d2", Err(Refused(ApiError::Unhealthy))),
            ("a9 b9 c9 d9 e", Ok(())),
            ("a9 b9 c9 d e", Err(Refused(ApiError::Unhealthy))),
            ("a9 b9 cl", Ok(())),
            ("a9 b-", Err(Refused(ApiError::MemberNotEnoughStarted))),
        ] {
            assert_eq!(checked(text, &change), expected, "{text}");
        }
    }

    #[test]
    fn a_learner_is_promoted_if_enough_have_started() {
        for (text, expected) in [
            ("a9 b1l", Ok(())),
            ("a9 bl", Err(Refused(ApiError::Unhealthy))),
            ("a9 b1l-", Ok(())),
            ("a9 b1l c-", Ok(())),
            (
                "a9 b1l c- d-",
                Err(Refused(ApiError::MemberNotEnoughStarted)),
            ),
            ("a9 b1l c d9", Ok(())),
            ("a9 bl c d9", Err(Refused(ApiError::Unhealthy))),
        ] {
            assert_eq!(
                checked(text, &Change::Promote { id: MemberId(2) }),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_learner_is_promoted_unasked_only_if_the_cluster_survives_it() {
        for (text, expected) in [
            ("a9 b9l", true),
            ("a9 b2l", false),
            ("a9 bl", false),
            ("a9 b9l-", false),
            ("a9 b9l c", true),
            ("a9 b9l c d", false),
        ] {
            let (members, times) = cluster(text);
            let promoted = survives_promotion(&members, &members[1], of(&times));
            assert_eq!(promoted, expected, "{text}");
        }
    }
}
