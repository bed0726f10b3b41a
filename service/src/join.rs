//! What a member with an empty directory becomes.

use conclave_proto::command::Member;

use crate::identity::Identity;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A new cluster begins.
    New(Identity),
    /// This member was added to a cluster that runs.
    Joined {
        /// The cluster.
        cluster_id: u64,
        /// This member.
        member_id: u64,
        /// Who is in it.
        members: Vec<Member>,
    },
}
