//! Identifies both ends of every call.
//!
//! Members of two clusters that share an address by mistake, a data directory started with another
//! member's flags, a removed member that has not learned of its removal: each could corrupt a
//! cluster if its messages were accepted, and each is recognized here, before any other message.
//! The texts are for the operator, so they name both sides and the likely cause.

use conclave_proto::peer::Hello;
use conclave_storage::{ClusterId, MemberId};
use tonic::{Code, Status};

use conclave_core::fatal::REMOVED;

/// The highest protocol version that this release speaks.
pub(super) const PROTOCOL_VERSION: u32 = 1;

/// This process' identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cluster_id: ClusterId,
    pub(super) member_id: MemberId,
    pub(super) boot_id: u64,
}

/// The reason why the member at an address is not the expected one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    #[error("it did not identify itself")]
    Silent,
    #[error("it speaks version {0} of the protocol between members, this one {PROTOCOL_VERSION}")]
    Version(u32),
    #[error(
        "it belongs to cluster {theirs}, this member to cluster {ours}: check \
         --initial-cluster-token and --initial-cluster, and --data-dir if either has run before"
    )]
    Cluster { ours: ClusterId, theirs: ClusterId },
    #[error("it is member {found}, not member {meant}: check the peer URLs of both")]
    Member { meant: MemberId, found: MemberId },
}

impl Identity {
    /// The Hello for `to`, which is to none in an answer.
    pub(super) fn hello(&self, to: MemberId) -> Hello {
        Hello {
            protocol_version: PROTOCOL_VERSION,
            cluster_id: self.cluster_id.0,
            member_id: self.member_id.0,
            boot_id: self.boot_id,
            to_member_id: to.0,
            peer_urls: Vec::new(),
        }
    }

    /// Checks that the member that answered is `meant`.
    pub(super) fn check_answer(
        &self,
        hello: Option<Hello>,
        meant: MemberId,
    ) -> Result<Hello, Stranger> {
        let hello = hello.ok_or(Stranger::Silent)?;
        if hello.protocol_version == 0 {
            return Err(Stranger::Version(hello.protocol_version));
        }
        let (ours, theirs) = (self.cluster_id, ClusterId(hello.cluster_id));
        if theirs != ours {
            return Err(Stranger::Cluster { ours, theirs });
        }
        let found = MemberId(hello.member_id);
        if found != meant {
            return Err(Stranger::Member { meant, found });
        }
        Ok(hello)
    }

    /// Checks the caller's identity, and that it means this member. `refusal` is the refusal of a
    /// member that was removed.
    pub(super) fn check_caller(
        &self,
        hello: Option<&Hello>,
        refusal: impl FnOnce(MemberId) -> Option<String>,
    ) -> Result<Hello, Status> {
        let refuse = |text: String| Err(Status::failed_precondition(text));
        let Some(hello) = hello else {
            return refuse("a call between members must begin with a Hello".to_owned());
        };
        let (ours, theirs) = (self.cluster_id, ClusterId(hello.cluster_id));
        let (caller, meant) = (MemberId(hello.member_id), MemberId(hello.to_member_id));
        if hello.protocol_version == 0 {
            return refuse(format!(
                "version 0 of the protocol between members is not supported, only version \
                 {PROTOCOL_VERSION}"
            ));
        }
        if theirs != ours {
            return refuse(format!(
                "member {} of cluster {theirs} called member {} of cluster {ours}: check \
                 --initial-cluster-token and --initial-cluster of both, and --data-dir if either \
                 has run before",
                caller, self.member_id,
            ));
        }
        if let Some(text) = refusal(caller) {
            return refuse(text);
        }
        if meant != self.member_id {
            return refuse(format!(
                "member {} called member {} and reached member {}: check the peer URLs of \
                 both",
                caller, meant, self.member_id,
            ));
        }
        if caller == self.member_id {
            return refuse(format!(
                "member {} was called by another with the same id: check --name and \
                 --data-dir of both",
                self.member_id,
            ));
        }
        Ok(hello.clone())
    }
}

/// The refusal of a process that is not the one at the member's URL.
pub(super) fn not_the_member(member_id: MemberId) -> Status {
    Status::failed_precondition(format!(
        "another process answers as member {member_id} at its peer URL, so this one is not that \
         member: a copy of a member's data directory must not be started"
    ))
}

/// Returns true if a refusal says that this member was removed.
pub(super) fn says_removed(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.message() == REMOVED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(cluster_id: u64, member_id: u64) -> Identity {
        Identity {
            cluster_id: ClusterId(cluster_id),
            member_id: MemberId(member_id),
            boot_id: 7,
        }
    }

    #[test]
    fn a_caller_must_mean_this_member_of_this_cluster() {
        let us = identity(0xc1, 0xa);
        let caller = identity(0xc1, 0xb);
        let check = |hello: &Hello| {
            us.check_caller(Some(hello), |id| {
                (id == MemberId(0xdead)).then(|| REMOVED.to_owned())
            })
        };
        assert_eq!(
            check(&caller.hello(MemberId(0xa)))
                .map(|h| h.member_id)
                .ok(),
            Some(0xb)
        );
        let text = |hello: &Hello| {
            let status = check(hello).expect_err("refused");
            assert_eq!(status.code(), Code::FailedPrecondition);
            status.message().to_owned()
        };
        assert_eq!(
            text(&identity(0xc2, 0xb).hello(MemberId(0xa))),
            "member b of cluster c2 called member a of cluster c1: check --initial-cluster-token \
             and --initial-cluster of both, and --data-dir if either has run before"
        );
        assert_eq!(
            text(&caller.hello(MemberId(0xe))),
            "member b called member e and reached member a: check the peer URLs of both"
        );
        assert_eq!(text(&identity(0xc1, 0xdead).hello(MemberId(0xa))), REMOVED);
        assert!(text(&us.hello(MemberId(0xa))).contains("another with the same id"));
        assert!(us.check_caller(None, |_| None).is_err());
    }

    #[test]
    fn an_answer_must_come_from_whom_we_meant() {
        let us = identity(0xc1, 0xa);
        let answer = |hello: &Hello| us.check_answer(Some(hello.clone()), MemberId(0xb));
        assert!(answer(&identity(0xc1, 0xb).hello(MemberId::NONE)).is_ok());
        assert_eq!(us.check_answer(None, MemberId(0xb)), Err(Stranger::Silent));
        assert!(matches!(
            answer(&identity(0xc2, 0xb).hello(MemberId::NONE)),
            Err(Stranger::Cluster { .. })
        ));
        assert!(matches!(
            answer(&identity(0xc1, 0xe).hello(MemberId::NONE)),
            Err(Stranger::Member { .. })
        ));
    }
}
