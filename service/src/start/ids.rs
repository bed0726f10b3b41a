//! The ids of members and of the cluster.
//!
//! Ids are derived, not drawn, so that the members of a new cluster agree on them without having
//! spoken: a member's from its peer URLs and the cluster's token, the cluster's from its members'.
//! The derivation is etcd's, bit for bit, so that the ids known from documents, dashboards and
//! tests of etcd are the ids here.
//!
//! Ids are fixed when the cluster begins: what counts later is what the data directory says.

use conclave_core::stores::NewCluster;
use conclave_proto::command::Member;
use conclave_storage::{ClusterId, MemberId};
use sha1::{Digest, Sha1};

use crate::config::{Config, MemberUrl};

/// The cluster that a configuration begins, for a member whose data directory is empty.
pub(crate) fn new_cluster(config: &Config) -> NewCluster {
    let token = &config.initial_cluster_token;
    let mut members: Vec<Member> = config
        .initial_members()
        .iter()
        .map(|member| Member {
            id: member_id(&member.peer_urls, token, None).0,
            peer_urls: member.peer_urls.iter().map(MemberUrl::to_string).collect(),
            ..Member::default()
        })
        .collect();
    members.sort_by_key(|member| member.id);
    let ids: Vec<MemberId> = members.iter().map(|member| MemberId(member.id)).collect();
    NewCluster {
        member_id: member_id(&config.own_entry().peer_urls, token, None),
        cluster_id: cluster_id(&ids),
        members,
    }
}

/// The id of a member: the first eight bytes of the SHA-1 of its sorted peer URLs and the token,
/// without anything between them. A member added to a running cluster also has the second it was
/// added in, so that one removed and added again is somebody else.
pub(crate) fn member_id(
    peer_urls: &[MemberUrl],
    token: &str,
    added_at_seconds: Option<i64>,
) -> MemberId {
    let mut urls: Vec<&str> = peer_urls.iter().map(MemberUrl::as_str).collect();
    urls.sort_unstable();
    let mut hasher = Sha1::new();
    for url in urls {
        hasher.update(url);
    }
    hasher.update(token);
    if let Some(seconds) = added_at_seconds {
        hasher.update(seconds.to_string());
    }
    MemberId(first_eight_bytes(hasher))
}

/// The id of a cluster: the first eight bytes of the SHA-1 of its members' ids, in ascending order.
pub(crate) fn cluster_id(member_ids: &[MemberId]) -> ClusterId {
    let mut ids = member_ids.to_vec();
    ids.sort_unstable();
    let mut hasher = Sha1::new();
    for id in ids {
        hasher.update(id.0.to_be_bytes());
    }
    ClusterId(first_eight_bytes(hasher))
}

fn first_eight_bytes(hasher: Sha1) -> u64 {
    let digest = hasher.finalize();
    let first = digest.first_chunk().expect("a SHA-1 has twenty bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids every reader of etcd's documentation has seen: those of a lone member with default
    /// flags.
    #[test]
    fn the_default_member_has_etcds_ids() {
        let identity = new_cluster(&Config::default());
        assert_eq!(identity.member_id.to_string(), "8e9e05c52164694d");
        assert_eq!(identity.cluster_id.to_string(), "cdf818194e3a8c32");
        assert_eq!(identity.members.len(), 1);
        assert_eq!(identity.members[0].id, identity.member_id.0);
        assert_eq!(identity.members[0].peer_urls, ["http://localhost:2380"]);
    }

    /// Members list each other in whatever order their operator wrote, and must still agree.
    #[test]
    fn order_does_not_matter() {
        let urls = |texts: &[&str]| -> Vec<MemberUrl> {
            texts
                .iter()
                .map(|text| MemberUrl::parse(text).expect("a url"))
                .collect()
        };
        let there = urls(&["http://a:1", "http://b:1"]);
        let back = urls(&["http://b:1", "http://a:1"]);
        assert_eq!(member_id(&there, "t", None), member_id(&back, "t", None));
        let of = |ids: [u64; 3]| cluster_id(&ids.map(MemberId));
        assert_eq!(of([1, 2, 3]), of([3, 1, 2]));
    }

    #[test]
    fn token_and_time_tell_members_apart() {
        let urls = [MemberUrl::parse("http://a:1").expect("a url")];
        let first = member_id(&urls, "t", None);
        assert_ne!(first, member_id(&urls, "u", None));
        assert_ne!(
            member_id(&urls, "t", Some(1)),
            member_id(&urls, "t", Some(2))
        );
        assert_ne!(first, member_id(&urls, "t", Some(0)));
    }
}
