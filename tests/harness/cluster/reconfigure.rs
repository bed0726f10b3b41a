//! Changes of the membership.

use std::future::Future;
use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb as pb;
use tonic::Status;

use super::{ANSWER, Cluster, Member};
use crate::eventually;
use crate::wait::{DEADLINE, eventually_by};

/// A change of the membership may wait until the leader has seen all members for five seconds, and
/// then for an entry to commit; a busy machine needs more.
const CHANGE: Duration = Duration::from_secs(30);

impl Cluster {
    /// Adds a member, starts it and waits until it serves; returns its number.
    pub async fn add(&mut self, through: usize) -> usize {
        self.add_as(through, false).await
    }

    /// Adds and starts a learner; returns its number.
    pub async fn add_learner(&mut self, through: usize) -> usize {
        self.add_as(through, true).await
    }

    async fn add_as(&mut self, through: usize, is_learner: bool) -> usize {
        let number = self.announce(through, is_learner).await;
        self.respawn(number);
        self.members[number].expect_ready();
        number
    }

    /// Adds a member to the membership without starting it; returns its number.
    pub async fn announce(&mut self, through: usize, is_learner: bool) -> usize {
        let number = self.members.len();
        let token = super::TOKEN;
        let mut member = Member::new(self.backend, number, token, &self.network, &self.flags);
        let request = pb::MemberAddRequest {
            peer_urls: vec![member.peer_url()],
            is_learner,
        };
        let added = retried("a member to be added", || async {
            let mut stub = self.cluster(through);
            let answer = stub.member_add(self.request(request.clone())).await;
            // The first attempt may have succeeded although its answer was lost.
            let exists = "Peer URLs already exists";
            match answer {
                Err(status) if status.message().ends_with(exists) => Ok(None),
                other => other.map(|reply| Some(reply.into_inner().members)),
            }
        })
        .await;
        let members = match added {
            Some(members) => members,
            None => self.list(through).await,
        };
        let entry = |listed: &pb::Member| {
            let name = match listed.name.as_str() {
                "" => member.name(),
                name => name.to_owned(),
            };
            listed.peer_urls.first().map(|url| format!("{name}={url}"))
        };
        let all: Vec<_> = members.iter().filter_map(entry).collect();
        member.join(&all.join(","));
        self.members.push(member);
        number
    }

    /// Promotes a learner that has caught up.
    pub async fn promote(&self, through: usize, number: usize) {
        let id = self.id(through, number).await;
        retried("a learner to be promoted", || async {
            let mut stub = self.cluster(through);
            stub.member_promote(self.request(pb::MemberPromoteRequest { id }))
                .await
        })
        .await;
    }

    /// Removes a member through another. The removed member's process ends by itself.
    pub async fn remove(&mut self, through: usize, number: usize) {
        let id = self.id(through, number).await;
        retried("a member to be removed", || async {
            let mut stub = self.cluster(through);
            match stub
                .member_remove(self.request(pb::MemberRemoveRequest { id }))
                .await
            {
                // The first attempt succeeded, but its answer was lost.
                Err(status) if status.message() == "etcdserver: member not found" => Ok(()),
                other => other.map(drop),
            }
        })
        .await;
        self.members[number].set_removed();
    }

    /// Moves a member to another peer URL, by a `MemberUpdate`. The previous URL no longer answers.
    pub async fn readdress(&mut self, through: usize, number: usize) {
        let id = self.id(through, number).await;
        let old = self.members[number].readdress(&self.network);
        let peer_urls = vec![self.members[number].peer_url()];
        retried("a peer URL to be changed", || async {
            let peer_urls = peer_urls.clone();
            let mut stub = self.cluster(through);
            stub.member_update(self.request(pb::MemberUpdateRequest { id, peer_urls }))
                .await
        })
        .await;
        self.network.close(old);
    }

    /// Transfers leadership to a member.
    pub async fn move_leader(&self, number: usize) {
        let leader = self.leader().await;
        if leader == number {
            return;
        }
        let target_id = self.id(leader, number).await;
        let mut stub = self.maintenance(leader);
        let request = pb::MoveLeaderRequest { target_id };
        let moved = tokio::time::timeout(DEADLINE, stub.move_leader(self.request(request))).await;
        moved
            .expect("an answer in time")
            .expect("a healthy follower takes over");
        eventually("the new leader to be known", || async {
            (self.leader().await == number).then_some(())
        })
        .await;
    }

    /// The membership as one member lists it.
    pub async fn list(&self, through: usize) -> Vec<pb::Member> {
        retried("a list of members", || async {
            let mut stub = self.cluster(through);
            let request = pb::MemberListRequest { linearizable: true };
            stub.member_list(self.request(request)).await
        })
        .await
        .into_inner()
        .members
    }

    /// A member's id, looked up by its peer URL.
    pub async fn id(&self, through: usize, number: usize) -> u64 {
        let url = self.members[number].peer_url();
        let members = self.list(through).await;
        let found = members
            .iter()
            .find(|member| member.peer_urls.contains(&url));
        found
            .unwrap_or_else(|| panic!("{url} is none of {members:?}"))
            .id
    }
}

/// Retries until the request succeeds: a refusal may be temporary, for example while members have
/// not been seen for long enough. Panics with the last error.
async fn retried<T, F, P>(what: &str, attempt: P) -> T
where
    P: Fn() -> F,
    F: Future<Output = Result<T, Status>>,
{
    let refusal = std::cell::RefCell::new(String::from("no answer"));
    let deadline = Instant::now() + CHANGE;
    eventually_by(deadline, what, || async {
        match tokio::time::timeout(ANSWER * 5, attempt()).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(status)) => {
                *refusal.borrow_mut() = status.to_string();
                let late = Instant::now() + ANSWER >= deadline;
                assert!(!late, "{what}: {}", refusal.borrow());
                None
            }
            Err(_) => None,
        }
    })
    .await
}
