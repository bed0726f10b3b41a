//! Several members as processes of their own, and what can happen to them.
//!
//! A member is named by its number: 0, 1, 2, and so on in the order of joining. A number is never
//! given again, so that a test can go on speaking of a member that was removed.
//!
//! ```text
//! let mut cluster = Cluster::start(3, &[]).await;
//! let leader = cluster.leader().await;
//! cluster.kill(leader);
//! cluster.put(cluster.others(leader)[0], "a", "1").await;   // waits for the next leader
//! cluster.restart(leader);
//! ```
//!
//! Everything between members passes a [`Network`] of forwarders, where a link can be cut or held
//! in one direction. `CONCLAVE_TEST_SERVER=etcd` puts a real etcd 3.4 under it.
//!
//! Members run with a heartbeat of 50 ms and an election timeout of 500 ms, half of the default:
//! short enough that a failover costs a test a second, long enough that a busy machine of two
//! processors does not cause one.

mod api;
mod member;
mod reconfigure;

use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb as pb;
use tonic::transport::Channel;

pub use self::member::Member;
use crate::certificates::Certificate;
use crate::child::Child;
use crate::node::connect;
use crate::proxy::Network;
use crate::wait::{DEADLINE, eventually_by};
use crate::{Backend, eventually};

/// A question to a member that may be stopped, cut off or without a leader.
pub(crate) const ANSWER: Duration = Duration::from_millis(1000);

/// The election timeout all members run with.
pub const ELECTION: Duration = Duration::from_millis(500);

/// What the cluster is called, unless a test says otherwise.
const TOKEN: &str = "a-test";

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    backend: Backend,
    members: Vec<Member>,
    network: Network,
    flags: Vec<String>,
}

impl Cluster {
    /// Starts `size` members with these flags added, and waits until all serve.
    pub async fn start(size: usize, flags: &[&str]) -> Self {
        let mut cluster = Self::prepare(size, flags, TOKEN);
        cluster.start_all().await;
        cluster
    }

    /// Starts the members that were prepared, and waits until all serve.
    pub async fn start_all(&mut self) {
        for member in &mut self.members {
            member.spawn(&self.network);
        }
        for member in &mut self.members {
            member.expect_ready();
        }
        self.leader().await;
    }

    /// The members and what they will be started with; none is running.
    pub fn prepare(size: usize, flags: &[&str], token: &str) -> Self {
        let backend = Backend::Process.or_as_asked();
        let network = Network::default();
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let members = (0..size)
            .map(|number| Member::new(backend, number, token, &network, &flags))
            .collect();
        let mut cluster = Self {
            backend,
            members,
            network,
            flags,
        };
        cluster.found();
        cluster
    }

    /// Tells the members of a new cluster of each other.
    fn found(&mut self) {
        let all: Vec<_> = self.members.iter().map(Member::entry).collect();
        for member in &mut self.members {
            member.found(&all.join(","));
        }
    }

    /// Gives the members that were prepared a certificate each, to talk to each other with.
    pub fn secure(&mut self, certificates: &[Certificate]) {
        for (member, certificate) in self.members.iter_mut().zip(certificates) {
            member.set_own_flags(&certificate.flags());
        }
        // URLs begin in another way now.
        self.found();
    }

    /// Whether the members are real etcd.
    pub fn is_etcd(&self) -> bool {
        self.backend == Backend::Etcd
    }

    /// A member.
    pub fn member(&mut self, number: usize) -> &mut Member {
        &mut self.members[number]
    }

    /// A member's process.
    pub fn child(&mut self, number: usize) -> &mut Child {
        self.members[number].child()
    }

    /// The links between members.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The numbers of the members that were not removed, running or not.
    pub fn numbers(&self) -> Vec<usize> {
        let belongs = |&number: &usize| !self.members[number].is_removed();
        (0..self.members.len()).filter(belongs).collect()
    }

    /// All of them but one.
    pub fn others(&self, number: usize) -> Vec<usize> {
        let mut others = self.numbers();
        others.retain(|&other| other != number);
        others
    }

    /// The numbers of the members whose processes run and are not stopped.
    pub fn alive(&self) -> Vec<usize> {
        let mut numbers = self.numbers();
        numbers.retain(|&number| self.members[number].is_alive());
        numbers
    }

    /// Where clients of a member connect.
    pub fn endpoint(&self, number: usize) -> &str {
        self.members[number].endpoint()
    }

    /// Where clients connect, of all members that were not removed.
    pub fn endpoints(&self) -> Vec<String> {
        let endpoint = |number| self.endpoint(number).to_owned();
        self.numbers().into_iter().map(endpoint).collect()
    }

    /// A new connection to a member.
    pub fn channel(&self, number: usize) -> Channel {
        connect(self.endpoint(number))
    }
}

/// What happens to processes.
impl Cluster {
    /// Ends a member at once (SIGKILL).
    pub fn kill(&mut self, number: usize) {
        self.members[number].kill();
    }

    /// Asks a member to end (SIGTERM) and waits until it has.
    pub fn terminate(&mut self, number: usize) {
        self.members[number].terminate();
    }

    /// Stops a member where it is (SIGSTOP).
    pub fn pause(&mut self, number: usize) {
        self.members[number].pause();
    }

    /// Lets a stopped member go on (SIGCONT).
    pub fn resume(&mut self, number: usize) {
        self.members[number].resume();
    }

    /// Starts a member that has ended, on the data it had; does not wait until it serves.
    pub fn respawn(&mut self, number: usize) {
        self.members[number].spawn(&self.network);
    }

    /// Starts a member that has ended, on the data it had, and waits until it serves.
    pub fn restart(&mut self, number: usize) {
        self.respawn(number);
        self.members[number].expect_ready();
    }

    /// Ends a member that nobody will see again, and of whose end nobody is told.
    pub fn lose(&mut self, number: usize) {
        self.kill(number);
        self.members[number].set_removed();
    }

    /// Empties the directory of a member that has ended.
    pub fn wipe(&mut self, number: usize) {
        self.members[number].wipe();
    }
}

/// What happens to links.
impl Cluster {
    /// Cuts a member off from all others.
    pub fn isolate(&self, number: usize) {
        for other in self.others(number) {
            self.network.cut(number, other);
        }
    }

    /// A member is heard by no other, and hears them.
    pub fn silence(&self, number: usize) {
        for other in self.others(number) {
            self.network.hold(number, other);
        }
    }

    /// A member hears no other, and is heard.
    pub fn deafen(&self, number: usize) {
        for other in self.others(number) {
            self.network.hold(other, number);
        }
    }

    /// Ends all of that.
    pub fn heal(&self) {
        self.network.heal();
    }
}

/// Who leads.
impl Cluster {
    /// The leader, once a majority of all members and the leader itself agree on it.
    pub async fn leader(&self) -> usize {
        eventually("a leader that a majority agrees on", || self.find_leader()).await
    }

    /// The leader among members that can be asked, once it is another than `old`.
    pub async fn leader_after(&self, old: usize) -> usize {
        let found = || async { self.find_leader().await.filter(|&leader| leader != old) };
        eventually("another leader", found).await
    }

    async fn find_leader(&self) -> Option<usize> {
        let mut votes: Vec<(u64, u64)> = Vec::new();
        let mut ids = Vec::new();
        let asked = self.alive().into_iter().map(|number| async move {
            let status = tokio::time::timeout(ANSWER, self.status(number)).await;
            (number, status)
        });
        for (number, status) in all(asked).await {
            let Ok(Ok(status)) = status else { continue };
            let id = status.header.as_ref().map_or(0, |header| header.member_id);
            ids.push((id, number));
            votes.push((status.raft_term, status.leader));
        }
        let &(term, leader) = votes.iter().max()?;
        let agree = votes.iter().filter(|&&vote| vote == (term, leader)).count();
        let majority = agree * 2 > self.numbers().len();
        let found = ids.iter().find(|(id, _)| *id == leader);
        found
            .filter(|_| majority && leader != 0)
            .map(|&(_, number)| number)
    }

    /// What a member says of itself.
    pub async fn status(&self, number: usize) -> Result<pb::StatusResponse, tonic::Status> {
        let mut stub = self.maintenance(number);
        Ok(stub.status(pb::StatusRequest {}).await?.into_inner())
    }

    /// Waits until a put through each of these members is answered, which takes a leader that all
    /// of them know.
    pub async fn wait_writable(&self, numbers: &[usize]) {
        let deadline = Instant::now() + DEADLINE;
        for &number in numbers {
            let what = format!("a put through member {number}");
            eventually_by(deadline, &what, || async {
                let put = self.try_put(number, "harness/writable", "yes");
                tokio::time::timeout(ANSWER, put).await.ok()?.ok()
            })
            .await;
        }
    }
}

/// The outputs of all futures, which run side by side.
pub(crate) async fn all<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future,
{
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<_> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
