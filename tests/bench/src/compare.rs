//! Compares Conclave and etcd side by side, on the same machine within the same minutes.
//!
//! Both servers run from the beginning to the end, each with a fresh data directory on the same
//! disk, and take turns scenario by scenario; which one goes first alternates. So changes in the
//! speed of a virtual machine over the day affect both. After each turn the server just measured
//! gets time to become idle, and what it does in that time counts as its own work.
//!
//! Scenarios build on each other: gets read what the puts wrote, memory is read right after the
//! puts, the servers are restarted between writing and reading (`scenario.rs` has the reason), and
//! restart adds keys up to its number and comes last.

pub(crate) mod member;
pub(crate) mod restart;
pub(crate) mod scenario;
pub(crate) mod security;
pub(crate) mod server;
pub(crate) mod verdict;

use std::path::PathBuf;

use serde::Serialize;

use crate::args::{CompareArgs, ProgramArgs, Scale};
use crate::cleanup::Directory;
use crate::compare::scenario::{Contender, Scenario};
use crate::compare::security::Security;
use crate::compare::server::{Server, Setup};
use crate::compare::verdict::Row;
use crate::host::Host;
use crate::report;
use crate::wire::Failure;

/// The report of `compare`.
#[derive(Serialize)]
pub(crate) struct Comparison {
    pub(crate) host: Host,
    pub(crate) scale: Scale,
    pub(crate) members: u32,
    /// Percentage of one processor, for each member.
    pub(crate) cpu_percent: Option<u32>,
    /// TLS 1.3 for clients and peers, both of which show certificates.
    pub(crate) tls: bool,
    /// Authentication is enabled, and requests have root's simple token.
    pub(crate) auth: bool,
    pub(crate) connections: usize,
    pub(crate) clients: usize,
    pub(crate) key_size: usize,
    pub(crate) value_size: usize,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) rows: Vec<Row>,
}

/// Runs the comparison and prints it. Returns true if no request failed and, if that was requested,
/// no target was missed.
pub(crate) fn run(args: &CompareArgs) -> Result<bool, Failure> {
    let root = Directory::make(&args.bench.dir)?;
    let host = Host::look(root.path())?;
    let security = Security::make(&args.bench.security, root.path())?;
    let mut contenders = Vec::new();
    for &which in &args.programs.servers {
        let binary = which.binary(&args.programs)?;
        let directory = root.path().join(which.name());
        let setup = Setup {
            extra: &args.bench.server_args,
            members: args.members as usize,
            cpu_percent: args.cpu_percent,
            security: &security,
        };
        let name = which.name();
        let server = Server::start(name, &binary, &directory, &setup)?;
        report::note(&format!(
            "{name}: {} (processes {:?})",
            server.version,
            server.ids()
        ));
        contenders.push(Contender::new(server));
    }
    for (turn, scenario) in Scenario::ALL.into_iter().enumerate() {
        if !args.only.is_empty() && !args.only.contains(&scenario) {
            continue;
        }
        if args.members == 1 && scenario == Scenario::GetOfLeader {
            continue;
        }
        let mut order: Vec<&mut Contender> = contenders.iter_mut().collect();
        if turn % 2 == 1 {
            order.reverse();
        }
        for contender in order {
            contender.run(scenario, args)?;
        }
    }
    let rows = verdict::rows(&contenders);
    let comparison = Comparison {
        host,
        scale: args.scale,
        members: args.members,
        cpu_percent: args.cpu_percent,
        tls: args.bench.security.tls,
        auth: args.bench.security.auth,
        connections: args.bench.connections as usize,
        clients: args.bench.clients as usize,
        key_size: args.bench.key_size,
        value_size: args.bench.value_size,
        contenders,
        rows,
    };
    report::comparison(&comparison, args.bench.json.as_deref())?;
    let clean = comparison.contenders.iter().all(Contender::clean);
    let missed = comparison.rows.iter().any(Row::missed);
    Ok(clean && !(args.fail_on_miss && missed))
}

/// A server that `compare` can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    Conclave,
    Etcd,
}

impl Which {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Which::Conclave => "conclave",
            Which::Etcd => "etcd",
        }
    }

    /// The path of its program.
    pub(crate) fn binary(self, programs: &ProgramArgs) -> Result<PathBuf, Failure> {
        match self {
            Which::Conclave => programs.conclave.clone().map_or_else(beside_us, Ok),
            Which::Etcd => Ok(programs.etcd.clone()),
        }
    }
}

/// The server's binary in the directory this program was started from.
fn beside_us() -> Result<PathBuf, Failure> {
    let binary = std::env::current_exe()?.with_file_name("conclave");
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(Failure(format!(
            "{} does not exist; use --conclave PATH",
            binary.display()
        )))
    }
}
