//! Measures a client: `conclave-client-bench WORKLOAD LIBRARY ENDPOINT`, where the workload is
//! `puts`, `handovers` or `watches`, and the library `ours` or `other`, the crate `etcd-client`.
//! `clients/bench.sh` runs it; `clients/README.md` describes the workloads and the line that is
//! printed.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

mod library;
mod other;
mod ours;

use library::{Contender, Library};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);
const IN_FLIGHT: usize = 64;
const KEYS: u64 = 1_000;
const VALUE_BYTES: usize = 256;
const CONTENDERS: usize = 32;
const MUTEX: &str = "bench/mutex";
const WATCHES: usize = 10_000;
const EVENTS_WITHIN: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workload, library, endpoint] = &arguments[..] else {
        return Err("usage: conclave-client-bench WORKLOAD LIBRARY ENDPOINT".into());
    };
    match &library[..] {
        "ours" => run(workload, ours::Ours::connect(endpoint).await?).await,
        "other" => run(workload, other::EtcdClient::connect(endpoint).await?).await,
        _ => Err(format!("the library is ours or other, not {library}").into()),
    }
}

async fn run<L: Library>(workload: &str, library: L) -> Result<()> {
    let Measured {
        operations,
        wall,
        cpu,
        bytes,
    } = match workload {
        "puts" => puts(&library).await?,
        "handovers" => handovers(&library).await?,
        "watches" => watches(&library).await?,
        _ => return Err(format!("no such workload: {workload}").into()),
    };
    let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64());
    let line = format!("{operations}\t{wall:.3}\t{cpu:.3}\t{bytes}\t{}", L::NAME);
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

struct Measured {
    operations: u64,
    wall: Duration,
    /// User and system time of the process.
    cpu: Duration,
    bytes: u64,
}

/// State shared by the workers of a workload.
#[derive(Default)]
struct Shared {
    operations: AtomicU64,
    /// Counts the puts, for their keys.
    puts: AtomicU64,
    holders: AtomicU64,
    over: AtomicBool,
}

async fn puts<L: Library>(library: &L) -> Result<Measured> {
    let shared = Arc::new(Shared::default());
    let mut workers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (mut library, shared) = (library.clone(), Arc::clone(&shared));
        workers.spawn(async move {
            while !shared.over.load(SeqCst) {
                let number = shared.puts.fetch_add(1, SeqCst) % KEYS;
                let key = format!("bench/puts/{number:04}");
                library.put(key, vec![b'v'; VALUE_BYTES]).await?;
                shared.operations.fetch_add(1, SeqCst);
            }
            Ok(())
        });
    }
    measure(&shared, workers).await
}

async fn handovers<L: Library>(library: &L) -> Result<Measured> {
    let shared = Arc::new(Shared::default());
    let mut workers = JoinSet::new();
    for _ in 0..CONTENDERS {
        let mut contender = library.contender(MUTEX).await?;
        let shared = Arc::clone(&shared);
        workers.spawn(async move {
            while !shared.over.load(SeqCst) {
                contender.lock().await?;
                if shared.holders.fetch_add(1, SeqCst) != 0 {
                    return Err("two hold the mutex".into());
                }
                shared.operations.fetch_add(1, SeqCst);
                shared.holders.fetch_sub(1, SeqCst);
                contender.unlock().await?;
            }
            contender.close().await
        });
    }
    let measured = measure(&shared, workers).await?;
    match library.count(MUTEX).await? {
        0 => Ok(measured),
        left => Err(format!("{left} keys of the mutex are left").into()),
    }
}

/// Measures after the warm-up, ends the workers, and fails if one of them did.
async fn measure(shared: &Shared, mut workers: JoinSet<Result<()>>) -> Result<Measured> {
    let measured = tokio::select! {
        measured = async {
            sleep(WARM_UP).await;
            let (begun, cpu) = (Instant::now(), cpu());
            let before = shared.operations.load(SeqCst);
            sleep(MEASURED).await;
            Measured {
                operations: shared.operations.load(SeqCst) - before,
                wall: begun.elapsed(),
                cpu: self::cpu() - cpu,
                bytes: 0,
            }
        } => measured,
        Some(ended) = workers.join_next() => {
            ended??;
            return Err("a worker ended before its time".into());
        }
    };
    shared.over.store(true, SeqCst);
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    let bytes = resident()?;
    Ok(Measured { bytes, ..measured })
}

async fn watches<L: Library>(library: &L) -> Result<Measured> {
    let mut library = library.clone();
    let keys: Vec<String> = (0..WATCHES)
        .map(|number| format!("bench/watches/{number:05}"))
        .collect();
    library.count(MUTEX).await?;
    let before = resident()?;
    let (events, mut received) = mpsc::unbounded_channel();
    let (begun, cpu) = (Instant::now(), cpu());
    let watching = library.watch(&keys, events).await?;
    let (wall, cpu) = (begun.elapsed(), self::cpu() - cpu);
    for key in &keys {
        library.put(key.clone(), b"v".to_vec()).await?;
    }
    timeout(EVENTS_WITHIN, async {
        let mut missing: std::collections::HashSet<_> = keys.iter().cloned().collect();
        while !missing.is_empty() {
            let key = received.recv().await.ok_or("the watches have ended")?;
            if !missing.remove(&key) {
                return Err(format!("{key} has a second event").into());
            }
        }
        Result::Ok(())
    })
    .await??;
    let bytes = resident()?.saturating_sub(before);
    drop(watching);
    Ok(Measured {
        operations: WATCHES as u64,
        wall,
        cpu,
        bytes,
    })
}

fn cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime)
        .try_into()
        .expect("a process has used no negative time")
}

/// The process' resident memory.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(kib.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
