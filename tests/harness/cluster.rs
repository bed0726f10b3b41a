//! A cluster of several members, each a process, and the faults a test can inject into it.
//!
//! A member is identified by its number: 0, 1, 2, and so on in the order of joining. A number is
//! never reused, so that a test can still refer to a removed member.
//!
//! ```text
//! let mut cluster = Cluster::start(3, &[]).await;
//! let leader = cluster.leader().await;
//! cluster.kill(leader);
//! cluster.put(cluster.others(leader)[0], "a", "1").await;   // waits for the next leader
//! cluster.restart(leader);
//! ```
//!
//! All traffic between members passes through a [`Network`] of forwarders, where a link can be cut
//! or held in one direction. `CONCLAVE_TEST_SERVER=etcd` runs the tests against a real etcd 3.4.
//!
//! Members run with a heartbeat of 50 ms and an election timeout of 500 ms, half of the default:
//! short enough that a failover costs a test a second, long enough that a busy machine of two
//! processors does not cause one.

mod api;
mod member;
mod reconfigure;

use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb as pb;
use tonic::Request;
use tonic::transport::Channel;

pub use self::member::Member;
use crate::certificates::Certificate;
use crate::child::Child;
use crate::login::with_token;
use crate::node::connect;
use crate::proxy::Network;
use crate::wait::{DEADLINE, eventually_by};
use crate::{Backend, eventually};

/// Timeout of a request to a member that may be stopped, cut off or without a leader.
pub(crate) const ANSWER: Duration = Duration::from_millis(1000);

/// The election timeout of all members.
pub const ELECTION: Duration = Duration::from_millis(500);

/// The cluster token, unless a test sets another.
const TOKEN: &str = "a-test";

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    backend: Backend,
    members: Vec<Member>,
    network: Network,
    flags: Vec<String>,
    /// The token of calls that the harness makes itself; empty for none.
    token: String,
}

impl Cluster {
    /// Starts `size` members with these additional flags, and waits until all serve.
    pub async fn start(size: usize, flags: &[&str]) -> Self {
        let mut cluster = Self::prepare(size, flags, TOKEN);
        cluster.start_all().await;
        cluster
    }

    /// Starts the prepared members, and waits until all serve.
    pub async fn start_all(&mut self) {
        for member in &mut self.members {
            member.spawn(&self.network);
        }
        for member in &mut self.members {
            member.expect_ready();
        }
        self.leader().await;
    }

    /// Prepares members without starting them.
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
            token: String::new(),
        };
        cluster.found();
        cluster
    }

    /// Gives each member of a new cluster the list of all members.
    fn found(&mut self) {
        let all: Vec<_> = self.members.iter().map(Member::entry).collect();
        for member in &mut self.members {
            member.found(&all.join(","));
        }
    }

    /// Gives each prepared member a certificate for its connections to peers.
    pub fn secure(&mut self, certificates: &[Certificate]) {
        for (member, certificate) in self.members.iter_mut().zip(certificates) {
            member.set_own_flags(&certificate.flags());
        }
        // The scheme of the peer URLs has changed.
        self.found();
    }

    /// Has the harness make its own calls with this token, once authentication is enabled. A member
    /// that restarts may forget a simple token.
    pub fn use_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    /// A request with the token of the harness.
    fn request<T>(&self, message: T) -> Request<T> {
        with_token(&self.token, message)
    }

    /// Returns true if the members are real etcd.
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

    /// The numbers of all members but one.
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

    /// The client URL of a member.
    pub fn endpoint(&self, number: usize) -> &str {
        self.members[number].endpoint()
    }

    /// The client URLs of all members that were not removed.
    pub fn endpoints(&self) -> Vec<String> {
        let endpoint = |number| self.endpoint(number).to_owned();
        self.numbers().into_iter().map(endpoint).collect()
    }

    /// A new connection to a member.
    pub fn channel(&self, number: usize) -> Channel {
        connect(self.endpoint(number))
    }
}

/// Faults of processes.
impl Cluster {
    /// Kills a member (SIGKILL).
    pub fn kill(&mut self, number: usize) {
        self.members[number].kill();
    }

    /// Stops a member (SIGTERM) and waits until it has ended.
    pub fn terminate(&mut self, number: usize) {
        self.members[number].terminate();
    }

    /// Suspends a member (SIGSTOP).
    pub fn pause(&mut self, number: usize) {
        self.members[number].pause();
    }

    /// Resumes a suspended member (SIGCONT).
    pub fn resume(&mut self, number: usize) {
        self.members[number].resume();
    }

    /// Starts a member that has ended, on its data; does not wait until it serves.
    pub fn respawn(&mut self, number: usize) {
        self.members[number].spawn(&self.network);
    }

    /// Starts a member that has ended, on its data, and waits until it serves.
    pub fn restart(&mut self, number: usize) {
        self.respawn(number);
        self.members[number].expect_ready();
    }

    /// Kills a member for good, without removing it from the membership.
    pub fn lose(&mut self, number: usize) {
        self.kill(number);
        self.members[number].set_removed();
    }

    /// Empties the directory of a member that has ended.
    pub fn wipe(&mut self, number: usize) {
        self.members[number].wipe();
    }
}

/// Faults of links.
impl Cluster {
    /// Cuts a member off from all others.
    pub fn isolate(&self, number: usize) {
        for other in self.others(number) {
            self.network.cut(number, other);
        }
    }

    /// Holds everything a member sends to others; it still receives.
    pub fn silence(&self, number: usize) {
        for other in self.others(number) {
            self.network.hold(number, other);
        }
    }

    /// Holds everything others send to a member; it can still send.
    pub fn deafen(&self, number: usize) {
        for other in self.others(number) {
            self.network.hold(other, number);
        }
    }

    /// Ends all faults of links.
    pub fn heal(&self) {
        self.network.heal();
    }
}

/// The leader.
impl Cluster {
    /// The leader, once a majority of all members and the leader itself agree on it.
    pub async fn leader(&self) -> usize {
        eventually("a leader that a majority agrees on", || self.find_leader()).await
    }

    /// The leader among the members that answer, once it is not `old`.
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

    /// A member's answer to `Status`.
    pub async fn status(&self, number: usize) -> Result<pb::StatusResponse, tonic::Status> {
        let mut stub = self.maintenance(number);
        Ok(stub
            .status(self.request(pb::StatusRequest {}))
            .await?
            .into_inner())
    }

    /// Waits until a put through each of these members is acknowledged, which takes a leader known
    /// to all of them.
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

/// Runs all futures concurrently and returns their outputs.
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
