//! Errors of a member with an empty data directory, with what to do.

use std::path::PathBuf;

use conclave_storage::{ClusterId, MemberId};

use super::Answered;

/// The reason why a member with an empty data directory cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The flags about the cluster's start are wrong.
    #[error("{0}")]
    Flags(String),
    /// `existing`, and `--initial-cluster` has only this member.
    #[error(
        "--initial-cluster-state is existing, and --initial-cluster names no other member to ask: \
         use the ETCD_INITIAL_CLUSTER line that `etcdctl member add` printed"
    )]
    NobodyToAsk,
    /// `existing`, and no other member has answered.
    #[error("cannot join the cluster: no member of --initial-cluster answers: {details}")]
    Unreachable {
        /// Each of the other members, with its error.
        details: String,
    },
    /// The other members belong to more than one cluster.
    #[error(
        "--initial-cluster names members of two clusters: {} belongs to {} and {} to {}",
        first.0, first.1, second.0, second.1
    )]
    TwoClusters {
        /// Name of a member, and its cluster's id.
        first: (String, ClusterId),
        /// Name of another member, and its cluster's id.
        second: (String, ClusterId),
    },
    /// `existing`, and the cluster does not have this member.
    #[error(
        "member is not part of the cluster: add it with `etcdctl member add {name} \
         --peer-urls={peer_urls}` first, then start it with the ETCD_INITIAL_CLUSTER line that \
         this command prints"
    )]
    NotAdded {
        /// `--name`.
        name: String,
        /// `--initial-advertise-peer-urls`.
        peer_urls: String,
    },
    /// `existing`, and the cluster's members are not those of the flag.
    #[error(
        "--initial-cluster differs from the members of the cluster: {difference}; \
         --initial-cluster has {configured}, the cluster has {actual}: use the \
         ETCD_INITIAL_CLUSTER line that `etcdctl member add` printed"
    )]
    DifferentLists {
        /// The difference between the two lists.
        difference: String,
        /// The peer URLs of `--initial-cluster`.
        configured: String,
        /// The peer URLs of the cluster.
        actual: String,
    },
    /// The cluster knows this member as started, but the member has no data.
    #[error(
        "member {member_id} has already been bootstrapped, and {} has no data of it: it cannot \
         run without its data. If the data is lost, replace the member: `etcdctl member remove \
         {member_id}`, `etcdctl member add {name} --peer-urls={peer_urls}`, then empty {} and \
         start it with --initial-cluster-state=existing and the ETCD_INITIAL_CLUSTER line that \
         `member add` printed",
        data_dir.display(),
        data_dir.display()
    )]
    AlreadyStarted {
        /// Id of the member.
        member_id: MemberId,
        /// `--data-dir`.
        data_dir: PathBuf,
        /// `--name`.
        name: String,
        /// `--initial-advertise-peer-urls`.
        peer_urls: String,
    },
    /// `new`, and another member already runs in another cluster.
    #[error(
        "member {other:?} of --initial-cluster belongs to cluster {theirs}, and this member \
         would start cluster {ours}: give all members the same --initial-cluster and \
         --initial-cluster-token, or join with --initial-cluster-state=existing after `etcdctl \
         member add`"
    )]
    ForeignCluster {
        /// Name of the other member in `--initial-cluster`.
        other: String,
        /// Id of the other member's cluster.
        theirs: ClusterId,
        /// Id of this member's cluster, by its flags.
        ours: ClusterId,
    },
    /// The cluster has removed this member for ever.
    #[error(
        "the member has been permanently removed from the cluster: its id {member_id} cannot be \
         used again; add it again with `etcdctl member add`"
    )]
    Removed {
        /// Id of the member.
        member_id: MemberId,
    },
}

impl JoinError {
    /// Returns true if the answer of a member that is behind could cause this error.
    pub(super) fn is_misfit(&self) -> bool {
        matches!(
            self,
            JoinError::NotAdded { .. } | JoinError::DifferentLists { .. }
        )
    }

    pub(super) fn unreachable(answers: &[Answered<'_>]) -> JoinError {
        let details: Vec<String> = answers
            .iter()
            .filter_map(|(other, answer)| {
                let urls: Vec<&str> = other.peer_urls.iter().map(|url| url.as_str()).collect();
                let (name, urls) = (&other.name, urls.join(","));
                Some(format!("{name} at {urls}: {}", answer.as_ref().err()?))
            })
            .collect();
        JoinError::Unreachable {
            details: details.join("; "),
        }
    }

    /// Both lists have the sorted URLs of each member.
    pub(super) fn different_lists(configured: &[Vec<&str>], actual: &[Vec<&str>]) -> JoinError {
        let without = |these: &[Vec<&str>], those: &[Vec<&str>]| -> Vec<String> {
            let rest = these.iter().filter(|urls| !those.contains(*urls));
            rest.map(|urls| urls.join(",")).collect()
        };
        let only_configured = without(configured, actual);
        let only_actual = without(actual, configured);
        let mut difference = Vec::new();
        if !only_configured.is_empty() {
            let urls = only_configured.join(" ");
            difference.push(format!("only --initial-cluster has {urls}"));
        }
        if !only_actual.is_empty() {
            let urls = only_actual.join(" ");
            difference.push(format!("only the cluster has {urls}"));
        }
        let list = |members: &[Vec<&str>]| {
            let members: Vec<String> = members.iter().map(|urls| urls.join(",")).collect();
            members.join(" ")
        };
        JoinError::DifferentLists {
            difference: difference.join(", "),
            configured: list(configured),
            actual: list(actual),
        }
    }
}
