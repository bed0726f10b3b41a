//! Starts, stops and kills a server, Conclave or etcd, of one member or several: the flags are the
//! same.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use conclave_proto::etcdserverpb::RangeResponse;

use crate::compare::member::{Member, PATIENCE, POLL};
use crate::wire::Failure;

/// Large enough that no run raises an alarm.
const QUOTA_BYTES: u64 = 32 << 30;

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) members: Vec<Member>,
}

impl Server {
    /// Starts `binary` as a cluster of `count` members with their data in `directory`, each limited
    /// to `cpu_percent` of a processor if given, and waits until all members answer.
    pub(crate) fn start(
        name: &'static str,
        binary: &Path,
        directory: &Path,
        extra: &[String],
        count: usize,
        cpu_percent: Option<u32>,
    ) -> Result<Server, Failure> {
        let mut places = Vec::new();
        for number in 0..count {
            let member = if count == 1 {
                name.to_owned()
            } else {
                format!("{name}-{number}")
            };
            places.push((member, free_address()?, free_address()?));
        }
        let entry =
            |(name, _, peer): &(String, SocketAddr, SocketAddr)| format!("{name}=http://{peer}");
        let all = places.iter().map(entry).collect::<Vec<_>>().join(",");
        let mut members = Vec::new();
        for (member, client, peer) in places {
            let directory = if count == 1 {
                directory.to_owned()
            } else {
                directory.join(&member)
            };
            let mut arguments = arguments(&member, client, peer, &directory.join("data"), &all);
            arguments.extend_from_slice(extra);
            let mut member = Member::new(member, client, binary, &directory, arguments)?;
            if let Some(percent) = cpu_percent {
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
        Ok(server)
    }

    /// The process ids.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.members.iter().map(Member::id).collect()
    }

    /// The client addresses.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
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
                    let address = asked[found].address;
                    let mut members = self.members.iter();
                    return members
                        .position(|member| member.address == address)
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
    client: SocketAddr,
    peer: SocketAddr,
    data: &Path,
    all: &str,
) -> Vec<String> {
    vec![
        format!("--name={name}"),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls=http://{client}"),
        format!("--advertise-client-urls=http://{client}"),
        format!("--listen-peer-urls=http://{peer}"),
        format!("--initial-advertise-peer-urls=http://{peer}"),
        format!("--initial-cluster={all}"),
        "--initial-cluster-token=conclave-bench".into(),
        "--initial-cluster-state=new".into(),
        format!("--quota-backend-bytes={QUOTA_BYTES}"),
        "--logger=zap".into(),
        "--log-level=warn".into(),
    ]
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
