//! Measures how long no put is acknowledged when the leader fails.
//!
//! Both servers run as clusters of three with their default timings. Each round removes the leader
//! of one of them at a random instant, while puts are due every five milliseconds and each is sent
//! to every other member at once ([`writer`]). The **gap** is the longest time between two
//! acknowledged puts around that instant, less the five milliseconds between any two. Then the
//! member is restarted and catches up, and it is the other server's turn, so that changes of the
//! machine's speed affect both.

pub(crate) mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use serde::Serialize;

use crate::args::FailoverArgs;
use crate::cleanup::Directory;
use crate::compare::Which;
use crate::compare::member::{Member, PATIENCE};
use crate::compare::security::Security;
use crate::compare::server::{Server, Setup};
use crate::drive::{Load, Workload, drive};
use crate::failover::writer::Writer;
use crate::host::Host;
use crate::pace::Plan;
use crate::report;
use crate::target::Target;
use crate::wire::Failure;
use crate::workload::grant::Grant;

/// Members of each cluster.
pub(crate) const MEMBERS: usize = 3;
/// Interval between puts: the resolution of the gap.
const INTERVAL: Duration = Duration::from_millis(5);
/// Timeout of one attempt at a put.
const DEADLINE: Duration = Duration::from_millis(500);
/// Acknowledgements are steady if there were this many ...
const STEADY: usize = 150;
/// ... within this time, in which 200 puts are due.
const STEADY_FOR: Duration = Duration::from_secs(1);
/// Number of clients that fill a cluster first, and of their connections.
const CLIENTS: usize = 64;
const CONNECTIONS: usize = 8;
/// Time to live of the granted leases, longer than any run.
const TTL_SECONDS: i64 = 86_400;
/// Polling interval.
const POLL: Duration = Duration::from_millis(20);
/// Longest time between a round's start and the fault: several heartbeats.
const JITTER_MS: u64 = 500;

/// The fault of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT once there is another leader.
    Stop,
    /// SIGTERM, at which it may transfer leadership.
    Term,
}

/// A server and its gaps, in milliseconds.
#[derive(Serialize)]
struct Gaps {
    name: &'static str,
    version: String,
    median: f64,
    p90: f64,
    worst: f64,
    gaps: Vec<f64>,
}

/// The report of `failover`.
#[derive(Serialize)]
struct Report {
    host: Host,
    kind: Kind,
    rounds: u32,
    leases: u64,
    servers: Vec<Gaps>,
}

struct Contender {
    server: Server,
    writer: Writer,
    gaps: Vec<f64>,
}

/// Runs all rounds and prints the gaps.
pub(crate) fn run(args: &FailoverArgs) -> Result<(), Failure> {
    let root = Directory::make(&args.contenders.dir)?;
    let host = Host::look(root.path())?;
    let mut contenders = Vec::new();
    for &which in &args.contenders.programs.servers {
        let server = start(which, &args.contenders, &root, &[])?;
        if args.leases > 0 {
            let ttl_seconds = TTL_SECONDS;
            let leader = server.leader()?.target.clone();
            fill(Grant { ttl_seconds }, leader, args.leases)?;
        }
        let writer = Writer::start(server.targets(), INTERVAL, DEADLINE)?;
        let gaps = Vec::new();
        contenders.push(Contender {
            server,
            writer,
            gaps,
        });
    }
    for round in 1..=args.rounds {
        for contender in &mut contenders {
            let gap = contender.round(args.kind)?;
            let name = contender.server.name;
            report::note(&format!("{name}: round {round}: {gap:.0} ms"));
            contender.gaps.push(gap);
        }
    }
    let servers: Vec<_> = contenders.into_iter().map(Contender::gaps).collect();
    let mut lines = vec![format!(
        "{:10}{:>12}{:>12}{:>12}",
        "gap, ms", "median", "p90", "worst"
    )];
    for gaps in &servers {
        let (name, median, p90, worst) = (gaps.name, gaps.median, gaps.p90, gaps.worst);
        lines.push(format!("{name:10}{median:12.0}{p90:12.0}{worst:12.0}"));
    }
    let (kind, rounds, leases) = (args.kind, args.rounds, args.leases);
    let report = Report {
        host,
        kind,
        rounds,
        leases,
        servers,
    };
    report::lines(&lines, &report, args.contenders.json.as_deref())
}

/// Starts a cluster of three.
pub(crate) fn start(
    which: Which,
    args: &crate::args::ContenderArgs,
    root: &Directory,
    more: &[String],
) -> Result<Server, Failure> {
    let binary = which.binary(&args.programs)?;
    let directory = root.path().join(which.name());
    let extra: Vec<_> = more.iter().chain(&args.server_args).cloned().collect();
    let security = Security::make(&args.security, root.path())?;
    let setup = Setup {
        extra: &extra,
        members: MEMBERS,
        cpu_percent: None,
        security: &security,
    };
    let server = Server::start(which.name(), &binary, &directory, &setup)?;
    report::note(&format!("{}: {}", server.name, server.version));
    Ok(server)
}

/// Sends `count` requests to a member, each of which must succeed.
pub(crate) fn fill(workload: impl Workload, endpoint: Target, count: u64) -> Result<(), Failure> {
    let load = Load {
        endpoints: vec![endpoint],
        connections: CONNECTIONS,
        threads: 1,
        plan: Plan {
            clients: CLIENTS,
            total: Some(count),
            duration: None,
            rate: None,
        },
        timeout: Duration::from_secs(30),
        pids: Vec::new(),
        settle: Duration::ZERO,
        progress: false,
    };
    let filled = drive(Arc::new(workload), &load)?;
    report::note(&report::line(&filled));
    match filled.errors.first_key_value() {
        Some((text, times)) => Err(Failure(format!("the requests failed: {times} x {text}"))),
        None => Ok(()),
    }
}

impl Contender {
    /// Removes the leader and restarts it. Returns the gap, in milliseconds.
    fn round(&mut self, kind: Kind) -> Result<f64, Failure> {
        let victim = self.server.leader_number()?;
        self.writer.avoid(Some(victim));
        self.steady()?;
        let jitter = rand::rng().random_range(0..JITTER_MS);
        std::thread::sleep(Duration::from_millis(jitter));
        let fault = Instant::now();
        let member = &mut self.server.members[victim];
        match kind {
            Kind::Kill => member.kill(),
            Kind::Stop => member.signal("STOP")?,
            Kind::Term => drop(member.stop()?),
        }
        self.steady_since(fault)?;
        let gap = self.writer.longest_gap(fault).saturating_sub(INTERVAL);
        let member = &mut self.server.members[victim];
        match kind {
            Kind::Stop => member.signal("CONT")?,
            Kind::Kill | Kind::Term => member.spawn()?,
        }
        member.first_read(b"conclave-bench-nothing")?;
        in_step(&self.server, victim)?;
        self.writer.avoid(None);
        self.writer.forget();
        Ok(gap.as_secs_f64() * 1e3)
    }

    fn steady(&self) -> Result<(), Failure> {
        self.steady_since(Instant::now())
    }

    /// Waits until acknowledgements have been steady since some instant after `since`.
    fn steady_since(&self, since: Instant) -> Result<(), Failure> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            std::thread::sleep(POLL);
            let from = Instant::now().checked_sub(STEADY_FOR).unwrap_or(since);
            if from > since && self.writer.acknowledged_since(from) >= STEADY {
                return Ok(());
            }
        }
        let name = self.server.name;
        Err(Failure(format!("{name}: puts are still not acknowledged")))
    }

    fn gaps(self) -> Gaps {
        let mut sorted = self.gaps.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        Gaps {
            name: self.server.name,
            version: self.server.version.clone(),
            median: quantile(&sorted, 0.5),
            p90: quantile(&sorted, 0.9),
            worst: quantile(&sorted, 1.0),
            gaps: self.gaps,
        }
    }
}

/// Waits until a member has caught up with the leader.
pub(crate) fn in_step(server: &Server, number: usize) -> Result<(), Failure> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let leader = server.leader().and_then(Member::revision);
        let own = server.members[number].revision();
        // One or two writes are always in flight.
        if let (Ok(leader), Ok(own)) = (leader, own)
            && own + 2 >= leader
        {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
    let name = &server.members[number].name;
    Err(Failure(format!("{name} does not catch up")))
}

/// The smallest of the sorted values that is at or above this share of all.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(rank.saturating_sub(1).min(last))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 5.0);
        assert_eq!(quantile(&values, 0.9), 9.0);
        assert_eq!(quantile(&values, 1.0), 10.0);
        assert_eq!(quantile(&[7.0], 0.5), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
