//! Why a member with an empty data directory cannot become part of a cluster, and what to do.

use std::path::PathBuf;

use super::Answered;

/// Why a member with an empty data directory cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The flags that say which cluster it is of, and what is wrong with them.
    #[error("{0}")]
    Flags(String),
    /// `existing`, and `--initial-cluster` has this member alone.
    #[error(
        "--initial-cluster-state is existing, and --initial-cluster names no other member to ask: \
         use the ETCD_INITIAL_CLUSTER line that `etcdctl member add` printed"
    )]
    NobodyToAsk,
    /// `existing`, and nobody has answered.
    #[error("no member of the cluster to join can be asked who is in it: {details}")]
    Unreachable {
        /// Each of the others, with what went wrong.
        details: String,
    },
    /// The others are of more than one cluster.
    #[error(
        "--initial-cluster names members of two clusters: {} is of {:x} and {} of {:x}",
        first.0, first.1, second.0, second.1
    )]
    TwoClusters {
        /// A member's name and its cluster's id.
        first: (String, u64),
        /// Another's.
        second: (String, u64),
    },
    /// `existing`, and the cluster does not have us.
    #[error(
        "member is not part of the cluster: add it with `etcdctl member add {name} \
         --peer-urls={peer_urls}` first, and start it with the ETCD_INITIAL_CLUSTER line that \
         prints"
    )]
    NotAdded {
        /// `--name`.
        name: String,
        /// `--initial-advertise-peer-urls`.
        peer_urls: String,
    },
    /// `existing`, and the cluster has others than we were told.
    #[error(
        "--initial-cluster differs from the members of the cluster: {difference}; \
         --initial-cluster has {configured}, the cluster has {actual}: use the \
         ETCD_INITIAL_CLUSTER line that `etcdctl member add` printed"
    )]
    DifferentLists {
        /// What one has and the other has not.
        difference: String,
        /// The peer URLs of `--initial-cluster`.
        configured: String,
        /// The peer URLs of the cluster.
        actual: String,
    },
    /// The cluster knows this member as one that has run, and it has no data.
    #[error(
        "member {member_id:x} has already been bootstrapped, and {} has no data of it: it cannot \
         go on without its data. If the data is lost, replace the member: `etcdctl member remove \
         {member_id:x}`, `etcdctl member add {name} --peer-urls={peer_urls}`, then empty {} and \
         start it with --initial-cluster-state=existing and the ETCD_INITIAL_CLUSTER line that \
         prints",
        data_dir.display(),
        data_dir.display()
    )]
    AlreadyStarted {
        /// Its id.
        member_id: u64,
        /// `--data-dir`.
        data_dir: PathBuf,
        /// `--name`.
        name: String,
        /// `--initial-advertise-peer-urls`.
        peer_urls: String,
    },
    /// `new`, and one of the others runs in another cluster already.
    #[error(
        "member {other:?} of --initial-cluster is of the cluster {theirs:x}, and this member \
         would begin {ours:x}: give all members the same --initial-cluster and \
         --initial-cluster-token, or join with --initial-cluster-state=existing after `etcdctl \
         member add`"
    )]
    ForeignCluster {
        /// Its name in `--initial-cluster`.
        other: String,
        /// Its cluster's id.
        theirs: u64,
        /// The id that follows from our flags.
        ours: u64,
    },
    /// The cluster has removed this member.
    #[error(
        "the member has been permanently removed from the cluster: its id {member_id:x} cannot be \
         used again; add it anew with `etcdctl member add`"
    )]
    Removed {
        /// Its id.
        member_id: u64,
    },
}

impl JoinError {
    /// Whether a member that is behind would be a reason.
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

    /// Both lists hold the sorted URLs of members.
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
            difference.push(format!("only the first has {urls}"));
        }
        if !only_actual.is_empty() {
            let urls = only_actual.join(" ");
            difference.push(format!("only the second has {urls}"));
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
