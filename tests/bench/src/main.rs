//! `conclave-bench`: the load generator. It drives any etcd v3 endpoint, and compares Conclave with
//! etcd in one command. `README.md` describes its use and its figures.
//!
//! - [`args`] the command line; [`report`] tables and JSON.
//! - [`target`] servers, TLS and tokens; [`wire`] gRPC over h2; [`data`] keys and values;
//!   [`workload`] the kinds of requests.
//! - [`pace`] closed and open loop; [`drive`] threads and clients; [`stats`] the measurements.
//! - [`processes`], [`meter`], [`exposition`] and [`host`] observe the server and the machine
//!   meanwhile.
//! - [`compare`] both servers side by side; [`failover`] and [`catch_up`] the cost of a lost
//!   member; [`large_reads`] the cost of large reads for other clients.
//! - [`cleanup`] removes processes and files at the end.

mod args;
mod catch_up;
mod cleanup;
mod compare;
mod data;
mod drive;
mod exposition;
mod failover;
mod host;
mod large_reads;
mod meter;
mod pace;
mod processes;
mod progress;
mod quota;
mod report;
mod stats;
mod target;
mod wire;
mod workload;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use clap::Parser as _;

use crate::args::{Cli, Command, GetArgs, LoadArgs, PutArgs, RangeArgs, RestartArgs, WatchArgs};
use crate::cleanup::Directory;
use crate::compare::scenario;
use crate::compare::security::Security;
use crate::compare::server::{Server, Setup};
use crate::data::{Keys, Order, Values};
use crate::drive::{Load, Workload, drive};
use crate::pace::Plan;
use crate::stats::Measured;
use crate::wire::Failure;
use crate::workload::get::Get;
use crate::workload::grant::Grant;
use crate::workload::keep_alive::KeepAlive;
use crate::workload::login::LogIn;
use crate::workload::put::Put;
use crate::workload::range::Range;
use crate::workload::txn::Txn;
use crate::workload::watch::WatchRun;

/// Number of keys of a get or range if not given.
const KEY_SPACE_DEFAULT: u64 = 10_000;
const KEY_NAME: &str = "conclave-bench";

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cleanup::on_signals().and_then(|()| run(&cli.command)) {
        Ok(true) => ExitCode::SUCCESS,
        // The run was completed, but some requests failed.
        Ok(false) => ExitCode::from(2),
        Err(failure) => {
            report::note(&format!("conclave-bench: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a command. Returns true if every request succeeded.
fn run(command: &Command) -> Result<bool, Failure> {
    let (load, measured) = match command {
        Command::Put(args) => (&args.load, put(args)?),
        Command::Get(args) => (&args.load, get(args)?),
        Command::Range(args) => (&args.get.load, range(args)?),
        Command::Txn(args) => (&args.load, txn(args)?),
        Command::WatchFanout(args) => (&args.load, watch("watch fan-out", 1, args)?),
        Command::WatchLatency(args) => (&args.load, watch("watch latency", args.watchers, args)?),
        Command::LeaseGrant(args) => {
            let ttl_seconds = args.ttl.seconds;
            (&args.load, start(Grant { ttl_seconds }, &args.load)?)
        }
        Command::KeepAlive(args) => {
            let keep_alive = KeepAlive {
                leases: args.leases,
                ttl_seconds: args.ttl.seconds,
            };
            (&args.load, start(keep_alive, &args.load)?)
        }
        Command::Login(load) => (load, log_in(load)?),
        Command::Restart(args) => return restart(args).map(|()| true),
        Command::Compare(args) => return compare::run(args),
        Command::Failover(args) => return failover::run(args).map(|()| true),
        Command::CatchUp(args) => return catch_up::run(args).map(|()| true),
        Command::LargeReads(args) => return large_reads::run(args).map(|()| true),
    };
    report::measured(&measured, load.json.as_deref())?;
    Ok(measured.error_count() == 0)
}

fn start(workload: impl Workload, load: &LoadArgs) -> Result<Measured, Failure> {
    drive(Arc::new(workload), &load.load()?)
}

fn log_in(args: &LoadArgs) -> Result<Measured, Failure> {
    let load = args.load()?;
    let user = load.endpoints.iter().find_map(|target| {
        let login = target.access.login.as_ref()?;
        Some(login.user().clone())
    });
    let user = user.ok_or_else(|| Failure::new("a login needs --user"))?;
    drive(Arc::new(LogIn { user }), &load)
}

fn put(args: &PutArgs) -> Result<Measured, Failure> {
    let load = args.load.load()?;
    // With a duration and no number, more keys than can be put in that time.
    let all = load.plan.total.unwrap_or(u64::from(u32::MAX));
    let data = &args.data;
    let space = data.key_space.unwrap_or(all);
    let keys = Keys::new(
        KEY_NAME,
        data.key_size,
        space,
        data.order.unwrap_or(Order::Sequential),
    )?;
    drive(
        Arc::new(Put {
            keys,
            values: Values::new(data.value_size),
            first: 0,
        }),
        &load,
    )
}

/// The keys of a get or range, put first unless they exist.
fn readable(args: &GetArgs) -> Result<Keys, Failure> {
    let data = &args.data;
    let space = data.key_space.unwrap_or(KEY_SPACE_DEFAULT);
    if !args.no_prefill {
        let keys = Keys::new(KEY_NAME, data.key_size, space, Order::Sequential)?;
        let load = args.load.load()?;
        let plan = Plan {
            total: Some(space),
            duration: None,
            rate: None,
            ..load.plan
        };
        let put = Put {
            keys,
            values: Values::new(data.value_size),
            first: 0,
        };
        let filled = drive(Arc::new(put), &Load { plan, ..load })?;
        if let Some((text, count)) = filled.errors.first_key_value() {
            return Err(Failure(format!(
                "the keys could not be put: {count} x {text}"
            )));
        }
    }
    Keys::new(
        KEY_NAME,
        data.key_size,
        space,
        data.order.unwrap_or(Order::Random),
    )
}

fn get(args: &GetArgs) -> Result<Measured, Failure> {
    let keys = readable(args)?;
    let value_size = args.data.value_size;
    start(
        Get {
            keys,
            value_size,
            serializable: args.serializable,
        },
        &args.load,
    )
}

fn range(args: &RangeArgs) -> Result<Measured, Failure> {
    let keys = readable(&args.get)?;
    let range = Range {
        keys,
        length: args.length,
        serializable: args.get.serializable,
    };
    start(range, &args.get.load)
}

fn txn(args: &PutArgs) -> Result<Measured, Failure> {
    let load = args.load.load()?;
    let clients = load.plan.clients as u64;
    let space = args.data.key_space.unwrap_or(clients);
    let keys = Keys::new(
        "conclave-bench-txn",
        args.data.key_size,
        space,
        Order::Sequential,
    )?;
    let values = Values::new(args.data.value_size);
    let conflicts = AtomicU64::new(0);
    let txn = Txn {
        keys,
        values,
        conflicts,
        exclusive: space >= clients,
    };
    drive(Arc::new(txn), &load)
}

fn watch(name: &'static str, space: u64, args: &WatchArgs) -> Result<Measured, Failure> {
    // Not limited by the number of clients, which a watch does not use.
    let connections = args.load.connections as usize;
    let load = Load {
        connections,
        ..args.load.load()?
    };
    let space = args.data.key_space.unwrap_or(space);
    let keys = Keys::new(
        "conclave-bench-watch",
        args.data.key_size,
        space,
        Order::Sequential,
    )?;
    let values = Values::new(args.data.value_size);
    let Some(events) = load.plan.total.or_else(|| load.plan.intended()) else {
        return Err(Failure::new(
            "a watch needs --total, or --duration and --rate",
        ));
    };
    let (watchers, streams) = (args.watchers, args.streams);
    WatchRun {
        name,
        watchers,
        streams,
        keys,
        values,
        events,
    }
    .run(&load)
}

fn restart(args: &RestartArgs) -> Result<(), Failure> {
    let bench = &args.bench;
    let root = Directory::make(&bench.dir)?;
    let security = Security::make(&bench.security, root.path())?;
    let setup = Setup {
        extra: &bench.server_args,
        members: 1,
        cpu_percent: None,
        security: &security,
    };
    let server = Server::start("server", &args.binary, root.path(), &setup)?;
    let contender = scenario::restart_only(server, args.keys, bench)?;
    match &contender.restart {
        Some(restarted) => report::restarted(restarted, bench.json.as_deref()),
        None => Ok(()),
    }
}
