//! Starts, stops and kills a server, Conclave or etcd, of one member or several: the flags are the
//! same.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb::RangeResponse;

use crate::compare::member::{Member, PATIENCE, POLL};
use crate::compare::security::Security;
use crate::target::{Login, Target};
use crate::wire::Failure;

/// Large enough that no run raises an alarm.
const QUOTA_BYTES: u64 = 32 << 30;

/// How a cluster is started.
pub(crate) struct Setup<'a> {
    /// Additional arguments.
    pub(crate) extra: &'a [String],
    pub(crate) members: usize,
    /// Percentage of a processor that each member is limited to.
    pub(crate) cpu_percent: Option<u32>,
    pub(crate) security: &'a Security,
}

/// A member's name, and its addresses for clients, for peers and for metrics.
type Place = (String, [SocketAddr; 3]);

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) members: Vec<Member>,
}

impl Server {
    /// Starts `binary` as a cluster with its data in `directory`, and waits until all members
    /// answer. Then enables authentication, if that is part of the setup.
    pub(crate) fn start(
        name: &'static str,
        binary: &Path,
        directory: &Path,
        setup: &Setup<'_>,
    ) -> Result<Server, Failure> {
        let (count, security) = (setup.members, setup.security);
        let mut places = Vec::new();
        for number in 0..count {
            let member = if count == 1 {
                name.to_owned()
            } else {
                format!("{name}-{number}")
            };
            places.push((member, [free_address()?, free_address()?, free_address()?]));
        }
        let entry = |(name, [_, peer, _]): &Place| format!("{name}={}://{peer}", security.scheme());
        let all = places.iter().map(entry).collect::<Vec<_>>().join(",");
        let mut members = Vec::new();
        for (member, addresses) in places {
            let directory = if count == 1 {
                directory.to_owned()
            } else {
                directory.join(&member)
            };
            let data = directory.join("data");
            let mut arguments = arguments(&member, addresses, security, &data, &all);
            arguments.extend_from_slice(setup.extra);
            let [address, _, metrics] = addresses;
            let access = security.access()?;
            let target = Target { address, access };
            let mut member = Member::new(member, target, metrics, binary, &directory, arguments)?;
            if let Some(percent) = setup.cpu_percent {
                member.limit(percent)?;
            }
            members.push(member);
        }
        let version = version(binary)?;
        let mut server = Server {
            name,
            version,
            members,
        };
        server.launch(b"conclave-bench-nothing")?;
        if let Some(root) = security.root() {
            server.members[0].enable_auth(&root)?;
            let login = Login::of(root);
            for member in &mut server.members {
                member.log_in_as(&login);
            }
        }
        Ok(server)
    }

    /// The process ids.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.members.iter().map(Member::id).collect()
    }

    /// Where clients send requests.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let members = self.members.iter();
        members.map(|member| member.target.clone()).collect()
    }

    /// The size of all data directories.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let bytes = |member: &Member| crate::host::disk_bytes(&member.data);
        self.members.iter().map(bytes).sum()
    }

    /// Starts the processes and waits until each has answered a linearizable get of `key`. Returns
    /// the time between the two, and the first member's answer.
    pub(crate) fn launch(&mut self, key: &[u8]) -> Result<(Duration, RangeResponse), Failure> {
        let begin = Instant::now();
        for member in &mut self.members {
            member.spawn()?;
        }
        let mut answers = Vec::new();
        for member in &self.members {
            answers.push(member.first_read(key)?);
        }
        let answer = answers.into_iter().next().unwrap_or_default();
        Ok((begin.elapsed(), answer))
    }

    /// Stops all processes (SIGTERM), one after the other, and waits until they have ended. Returns
    /// how long that took.
    pub(crate) fn stop(&mut self) -> Result<Duration, Failure> {
        self.members.iter_mut().map(Member::stop).sum()
    }

    /// Kills the processes (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }

    pub(crate) fn leader(&self) -> Result<&Member, Failure> {
        Ok(&self.members[self.leader_number()?])
    }

    /// The leader's number.
    pub(crate) fn leader_number(&self) -> Result<usize, Failure> {
        self.leader_of(self.members.iter().collect())
    }

    /// The leader's number while one member is down.
    pub(crate) fn leader_number_without(&self, away: usize) -> Result<usize, Failure> {
        let mut asked: Vec<_> = self.members.iter().collect();
        asked.remove(away);
        self.leader_of(asked)
    }

    /// Waits until all of these members name the same one of them as leader; returns its number in
    /// the cluster.
    fn leader_of(&self, asked: Vec<&Member>) -> Result<usize, Failure> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let statuses: Result<Vec<_>, _> = asked.iter().map(|member| member.status()).collect();
            if let Ok(statuses) = statuses {
                let leader = statuses[0].leader;
                let agree = statuses.iter().all(|status| status.leader == leader);
                let found = statuses.iter().position(|status| {
                    let header = status.header.as_ref();
                    header.is_some_and(|header| header.member_id == leader)
                });
                if let (true, Some(found)) = (agree, found) {
                    let address = asked[found].target.address;
                    let mut members = self.members.iter();
                    return members
                        .position(|member| member.target.address == address)
                        .ok_or_else(|| Failure::new("the leader is not a member"));
                }
            }
            std::thread::sleep(POLL);
        }
        let name = self.name;
        Err(Failure(format!("{name}: the members name no leader")))
    }
}

/// A port that was free a moment ago. Binding it and releasing it is a race, lost only against a
/// program that binds a port in between; the server then fails to start and reports it.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn arguments(
    name: &str,
    [client, peer, metrics]: [SocketAddr; 3],
    security: &Security,
    data: &Path,
    all: &str,
) -> Vec<String> {
    let scheme = security.scheme();
    let mut arguments = vec![
        format!("--name={name}"),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={scheme}://{client}"),
        format!("--advertise-client-urls={scheme}://{client}"),
        format!("--listen-peer-urls={scheme}://{peer}"),
        format!("--initial-advertise-peer-urls={scheme}://{peer}"),
        format!("--initial-cluster={all}"),
        "--initial-cluster-token=conclave-bench".into(),
        "--initial-cluster-state=new".into(),
        format!("--quota-backend-bytes={QUOTA_BYTES}"),
        "--logger=zap".into(),
        "--log-level=warn".into(),
        format!("--listen-metrics-urls=http://{metrics}"),
    ];
    arguments.extend(security.flags());
    arguments
}

/// The first line of `--version`.
fn version(binary: &Path) -> Result<String, Failure> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure(format!("{}: {error}", binary.display())))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("?").trim().to_owned())
}
