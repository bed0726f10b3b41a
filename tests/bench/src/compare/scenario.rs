//! The scenarios of a comparison and their sizes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::args::{BenchArgs, CompareArgs, Scale};
use crate::compare::restart::{self, Restarted};
use crate::compare::server::Server;
use crate::data::{Keys, Order, Values};
use crate::drive::{Load, drive};
use crate::pace::Plan;
use crate::processes;
use crate::report;
use crate::stats::Measured;
use crate::wire::Failure;
use crate::workload::count::Count;
use crate::workload::get::Get;
use crate::workload::keep_alive::KeepAlive;
use crate::workload::page::Page;
use crate::workload::put::Put;
use crate::workload::range::Range;
use crate::workload::txn::Txn;
use crate::workload::watch::{Streams, WatchRun};

/// Longest wait for a server to become idle between scenarios.
const SETTLE: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const WATCHERS: u64 = 1000;
/// Clients of scenarios with large answers.
const FEW_CLIENTS: usize = 8;
const RANGE_LENGTH: u64 = 100;
const LONG_RANGE_LENGTH: u64 = 10_000;
/// Low enough for any server on a modest disk to keep up, so that the comparison is about latency.
const OPEN_RATE: f64 = 500.0;
const WATCH_RATE: f64 = 100.0;
const KEY_NAME: &str = "conclave-bench";

/// One kind of load, in the order they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Puts of new keys, at full speed.
    Put,
    /// Linearizable gets of those keys, from the process that has just written them.
    GetAfterPut,
    /// Linearizable gets, from a restarted process.
    Get,
    /// Linearizable gets from the leader only; for clusters of several members.
    GetOfLeader,
    /// Serializable gets.
    GetSerializable,
    /// Linearizable ranges.
    Range,
    /// Ranges of many keys, which are sent in pieces.
    RangeLong,
    /// Counts of all keys.
    Count,
    /// All keys in pages at one revision.
    Page,
    /// Compare-and-swaps, each client on its own key.
    Txn,
    /// Puts to existing keys, at a fixed rate.
    PutOpen,
    /// Each event to all watchers, which share one stream per connection.
    WatchFanout,
    /// Each event to all watchers, one stream per watcher.
    WatchFanoutStreams,
    /// Each event to one watcher, at a fixed rate.
    WatchLatency,
    /// Lease keep-alives.
    KeepAlive,
    /// Recovery after a kill and after a stop.
    Restart,
}

impl Scenario {
    pub(crate) const ALL: [Scenario; 16] = [
        Scenario::Put,
        Scenario::GetAfterPut,
        Scenario::Get,
        Scenario::GetOfLeader,
        Scenario::GetSerializable,
        Scenario::Range,
        Scenario::RangeLong,
        Scenario::Count,
        Scenario::Page,
        Scenario::Txn,
        Scenario::PutOpen,
        Scenario::WatchFanout,
        Scenario::WatchFanoutStreams,
        Scenario::WatchLatency,
        Scenario::KeepAlive,
        Scenario::Restart,
    ];

    /// Reads are measured on a process that has not just taken writes. etcd 3.4 copies its buffer
    /// of recent writes for each read, and the buffer keeps the size that a burst of writes gave
    /// it: a get then costs three times as much as after a restart. `GetAfterPut` reports that
    /// cost, too, but the target is compared with etcd at its best.
    fn wants_fresh_process(self) -> bool {
        matches!(
            self,
            Scenario::Get
                | Scenario::GetOfLeader
                | Scenario::GetSerializable
                | Scenario::Range
                | Scenario::RangeLong
                | Scenario::Count
                | Scenario::Page
        )
    }

    /// Number of requests (puts, for a watch; keys in the store, for restart).
    fn size(self, scale: Scale) -> u64 {
        let (full, quick) = match self {
            Scenario::Put => (470_000, 30_000),
            Scenario::GetAfterPut
            | Scenario::Get
            | Scenario::GetOfLeader
            | Scenario::GetSerializable => (300_000, 30_000),
            Scenario::Range => (5_000, 500),
            Scenario::RangeLong => (200, 50),
            Scenario::Count => (100, 50),
            Scenario::Page => (5_000, 500),
            Scenario::Txn => (100_000, 10_000),
            Scenario::PutOpen => (10_000, 1_500),
            Scenario::WatchFanout | Scenario::WatchFanoutStreams => (300, 100),
            Scenario::WatchLatency => (2_000, 300),
            Scenario::KeepAlive => (300_000, 30_000),
            Scenario::Restart => (1_000_000, 100_000),
        };
        match scale {
            Scale::Full => full,
            Scale::Quick => quick,
        }
    }
}

/// A server in the comparison and its results so far.
#[derive(Serialize)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) results: BTreeMap<Scenario, Measured>,
    pub(crate) disk_bytes_after_put: Option<u64>,
    pub(crate) restart: Option<Restarted>,
    #[serde(skip)]
    server: Server,
    /// Number of keys put so far, from the first on.
    #[serde(skip)]
    filled: u64,
    /// True if this process of the server has taken a burst of writes.
    #[serde(skip)]
    flooded: bool,
}

impl Contender {
    pub(crate) fn new(server: Server) -> Contender {
        Contender {
            name: server.name,
            version: server.version.clone(),
            results: BTreeMap::new(),
            disk_bytes_after_put: None,
            restart: None,
            server,
            filled: 0,
            flooded: false,
        }
    }

    /// Returns true if every request of every scenario succeeded.
    pub(crate) fn clean(&self) -> bool {
        self.results
            .values()
            .all(|measured| measured.error_count() == 0)
    }

    /// Runs one scenario. A failed check ends the comparison.
    pub(crate) fn run(&mut self, scenario: Scenario, args: &CompareArgs) -> Result<(), Failure> {
        self.measure(scenario, args)
            .map_err(|failure| Failure(format!("{}, {scenario:?}: {failure}", self.name)))
    }

    fn measure(&mut self, scenario: Scenario, args: &CompareArgs) -> Result<(), Failure> {
        let bench = &args.bench;
        let size = scenario.size(args.scale);
        self.prepare(scenario, args)?;
        let measured = match scenario {
            Scenario::Put => {
                let measured = self.fill(self.filled + size, bench)?;
                self.disk_bytes_after_put = Some(self.server.disk_bytes());
                measured
            }
            Scenario::Restart => return self.restart(size, bench),
            other => self.load_with(other, self.load(bench, size), bench)?,
        };
        report::note(&format!("{}: {}", self.name, report::line(&measured)));
        self.results.insert(scenario, measured);
        Ok(())
    }

    /// Fills the server, and starts it again, where the scenario wants that.
    fn prepare(&mut self, scenario: Scenario, args: &CompareArgs) -> Result<(), Failure> {
        if !matches!(scenario, Scenario::Put | Scenario::Restart) && self.filled == 0 {
            self.fill(Scenario::Put.size(args.scale), &args.bench)?;
        }
        if scenario.wants_fresh_process() && self.flooded {
            self.server.stop()?;
            self.server.launch(b"conclave-bench-nothing")?;
            processes::settle(&self.server.ids(), SETTLE)?;
            self.flooded = false;
        }
        Ok(())
    }

    /// Runs a scenario that is one workload on a server as it is.
    fn load_with(
        &self,
        scenario: Scenario,
        load: Load,
        bench: &BenchArgs,
    ) -> Result<Measured, Failure> {
        let plan = load.plan;
        let at = |rate| Plan {
            rate: Some(rate),
            ..plan
        };
        let any_key = || keys(bench, self.filled, Order::Random);
        match scenario {
            Scenario::Put | Scenario::Restart => unreachable!("they change the server"),
            Scenario::GetAfterPut | Scenario::Get => get(any_key()?, false, &load, bench),
            Scenario::GetSerializable => get(any_key()?, true, &load, bench),
            Scenario::GetOfLeader => {
                let endpoints = vec![self.server.leader()?.target.clone()];
                get(any_key()?, false, &Load { endpoints, ..load }, bench)
            }
            Scenario::Range => range(any_key()?, RANGE_LENGTH, &load),
            Scenario::RangeLong => range(any_key()?, LONG_RANGE_LENGTH, &of_few(load)),
            Scenario::Count => {
                let keys = any_key()?;
                drive(Arc::new(Count { keys }), &of_few(load))
            }
            Scenario::Page => {
                let (keys, length) = (any_key()?, RANGE_LENGTH);
                drive(Arc::new(Page { keys, length }), &of_few(load))
            }
            Scenario::Txn => txn(&load, bench),
            Scenario::PutOpen => {
                let put = Put {
                    keys: any_key()?,
                    values: Values::new(bench.value_size),
                    first: 0,
                };
                let plan = at(OPEN_RATE);
                drive(Arc::new(put), &Load { plan, ..load })
            }
            Scenario::WatchFanout => watch("watch fan-out", 1, Streams::Shared, &load, bench),
            Scenario::WatchFanoutStreams => {
                let name = "watch fan-out, stream each";
                watch(name, 1, Streams::Separate, &load, bench)
            }
            Scenario::WatchLatency => {
                let plan = at(WATCH_RATE);
                let load = Load { plan, ..load };
                watch("watch latency", WATCHERS, Streams::Shared, &load, bench)
            }
            Scenario::KeepAlive => {
                let keep_alive = KeepAlive {
                    leases: 1,
                    ttl_seconds: 3600,
                };
                drive(Arc::new(keep_alive), &load)
            }
        }
    }

    fn restart(&mut self, size: u64, bench: &BenchArgs) -> Result<(), Failure> {
        let count = self.filled.max(size);
        if self.filled < count {
            let filled = self.fill(count, bench)?;
            report::note(&format!(
                "{}: to {count} keys: {}",
                self.name,
                report::line(&filled)
            ));
        }
        let keys = keys(bench, count, Order::Sequential)?;
        let restarted = restart::run(&mut self.server, &keys, count, SETTLE)?;
        report::note(&format!(
            "{}: {}",
            self.name,
            report::restart_line(&restarted)
        ));
        self.restart = Some(restarted);
        Ok(())
    }

    /// Puts new keys until there are `count` keys.
    fn fill(&mut self, count: u64, bench: &BenchArgs) -> Result<Measured, Failure> {
        let keys = keys(bench, count, Order::Sequential)?;
        let put = Put {
            keys,
            values: Values::new(bench.value_size),
            first: self.filled,
        };
        let measured = drive(Arc::new(put), &self.load(bench, count - self.filled))?;
        if let Some((text, times)) = measured.errors.first_key_value() {
            // Gets and restart rely on the keys.
            return Err(Failure(format!("puts failed: {times} x {text}")));
        }
        self.filled = count;
        self.flooded = true;
        Ok(measured)
    }

    fn load(&self, bench: &BenchArgs, total: u64) -> Load {
        let connections = bench.connections.min(bench.clients);
        Load {
            endpoints: self.server.targets(),
            connections: connections as usize,
            threads: bench.threads.min(connections) as usize,
            plan: Plan {
                clients: bench.clients as usize,
                total: Some(total),
                duration: None,
                rate: None,
            },
            timeout: TIMEOUT,
            pids: self.server.ids(),
            settle: SETTLE,
            progress: !bench.quiet,
        }
    }
}

/// Runs `restart` alone: fills a fresh server and times its recovery.
pub(crate) fn restart_only(
    server: Server,
    count: u64,
    bench: &BenchArgs,
) -> Result<Contender, Failure> {
    let mut contender = Contender::new(server);
    contender.restart(count, bench)?;
    Ok(contender)
}

/// The same load by few clients: of large answers a thousand would wait for each other.
fn of_few(load: Load) -> Load {
    let clients = load.plan.clients.min(FEW_CLIENTS);
    Load {
        connections: load.connections.min(clients),
        threads: load.threads.min(clients),
        plan: Plan {
            clients,
            ..load.plan
        },
        ..load
    }
}

fn keys(bench: &BenchArgs, space: u64, order: Order) -> Result<Keys, Failure> {
    Keys::new(KEY_NAME, bench.key_size, space, order)
}

fn get(
    keys: Keys,
    serializable: bool,
    load: &Load,
    bench: &BenchArgs,
) -> Result<Measured, Failure> {
    let get = Get {
        keys,
        value_size: bench.value_size,
        serializable,
    };
    drive(Arc::new(get), load)
}

fn range(keys: Keys, length: u64, load: &Load) -> Result<Measured, Failure> {
    let serializable = false;
    let range = Range {
        keys,
        length,
        serializable,
    };
    drive(Arc::new(range), load)
}

fn txn(load: &Load, bench: &BenchArgs) -> Result<Measured, Failure> {
    let space = u64::from(bench.clients);
    let name = "conclave-bench-txn";
    let txn = Txn {
        keys: Keys::new(name, bench.key_size, space, Order::Sequential)?,
        values: Values::new(bench.value_size),
        conflicts: AtomicU64::new(0),
        exclusive: true,
    };
    drive(Arc::new(txn), load)
}

fn watch(
    name: &'static str,
    space: u64,
    streams: Streams,
    load: &Load,
    bench: &BenchArgs,
) -> Result<Measured, Failure> {
    let keys = Keys::new(
        "conclave-bench-watch",
        bench.key_size,
        space,
        Order::Sequential,
    )?;
    let values = Values::new(bench.value_size);
    let events = load.plan.total.unwrap_or_default();
    WatchRun {
        name,
        watchers: WATCHERS,
        streams,
        keys,
        values,
        events,
    }
    .run(load)
}
