//! Runs a workload of independent requests: threads, connections, clients, and the measurements.
//!
//! Each thread has its own runtime, connections and the clients on them, so no request crosses
//! threads. Client `k` uses connection `k % connections`, connection `c` lives on thread `c %
//! threads` and goes to endpoint `c % endpoints`.
//!
//! All connections and clients are open before the first request is sent and the clock starts.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::meter::{Cost, Meter};
use crate::pace::{Pacer, Plan, Schedule};
use crate::progress::Progress;
use crate::stats::{Measured, Recorder};
use crate::target::Target;
use crate::wire::{Failure, Wire};

/// Pause after a failed request, so that clients of a dead server do not spin.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// How long the processors are kept busy before a run.
const AWAKE_AFTER: Duration = Duration::from_millis(500);

/// The requests to send, and the processes to measure. Checked by `args.rs`.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) endpoints: Vec<Target>,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) plan: Plan,
    /// Timeout of a request.
    pub(crate) timeout: Duration,
    /// The ids of the server's processes.
    pub(crate) pids: Vec<u32>,
    /// Longest wait for the server to become idle after the run.
    pub(crate) settle: Duration,
    pub(crate) progress: bool,
}

impl Load {
    /// Makes the run log in, if it has a user.
    pub(crate) fn forget_tokens(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        for target in &self.endpoints {
            runtime.block_on(target.forget_token());
        }
        Ok(())
    }
}

/// A kind of request, sent by many independent clients.
pub(crate) trait Workload: Send + Sync + 'static {
    /// A client's state between requests.
    type Client: Send + 'static;

    /// The name in the report.
    fn name(&self) -> String;

    /// Opens client number `client` on one of the connections.
    fn open(
        &self,
        wire: &Wire,
        client: usize,
    ) -> impl Future<Output = Result<Self::Client, Failure>> + Send;

    /// Sends request `number` of the run and checks the answer.
    fn call(
        &self,
        client: &mut Self::Client,
        number: u64,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Figures specific to this workload, after the run.
    fn extra(&self) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }
}

/// A message from a thread to the main thread.
enum Signal {
    Open,
    Refused(Failure),
    Ended(Box<Recorder>, Instant),
}

/// The input of a thread.
struct Room<W> {
    workload: Arc<W>,
    load: Load,
    thread: usize,
    go: watch::Receiver<Option<Arc<Schedule>>>,
    signals: mpsc::Sender<Signal>,
    done: Arc<AtomicU64>,
}

/// Runs `workload` under `load` from beginning to end.
pub(crate) fn drive<W: Workload>(workload: Arc<W>, load: &Load) -> Result<Measured, Failure> {
    // A token may have expired since the last run.
    load.forget_tokens()?;
    let (signals, inbox) = mpsc::channel();
    let (go, going) = watch::channel(None);
    let done = Arc::new(AtomicU64::new(0));
    for thread in 0..load.threads {
        let room = Room {
            workload: Arc::clone(&workload),
            load: load.clone(),
            thread,
            go: going.clone(),
            signals: signals.clone(),
            done: Arc::clone(&done),
        };
        thread::spawn(move || room.run());
    }
    drop((signals, going));
    for _ in 0..load.threads {
        match inbox.recv() {
            Ok(Signal::Open) => {}
            Ok(Signal::Refused(failure)) => return Err(failure),
            Ok(Signal::Ended(..)) | Err(mpsc::RecvError) => return Err(lost_thread()),
        }
    }

    wake_processors();
    let meter = Meter::start(&load.pids)?;
    let schedule = Schedule::new(load.plan, Instant::now());
    let pacer = Pacer::start(&schedule);
    // Fails only if every thread has ended, which the inbox reports next.
    drop(go.send(Some(Arc::clone(&schedule))));
    let (recorder, end) = collect(&inbox, &done, &workload.name(), load, schedule.start())?;
    let cost = meter.finish(recorder.successes(), load.settle)?;
    drop(pacer);
    let seconds = end.duration_since(schedule.start()).as_secs_f64();
    Ok(report(&*workload, load, &recorder, seconds, cost))
}

/// Keeps every processor busy for a moment. After seconds of idleness the processors of a virtual
/// machine run at a fraction of their speed for some 150 ms, and the slowest requests would be from
/// that time.
fn wake_processors() {
    let until = Instant::now() + AWAKE_AFTER;
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            });
        }
    });
}

/// Waits for all threads to end, showing their progress.
fn collect(
    inbox: &mpsc::Receiver<Signal>,
    done: &AtomicU64,
    name: &str,
    load: &Load,
    start: Instant,
) -> Result<(Recorder, Instant), Failure> {
    let progress = Progress::new(name, &load.plan, load.progress);
    let mut all = Recorder::new();
    let mut last = start;
    let mut running = load.threads;
    while running > 0 {
        match inbox.recv_timeout(Progress::INTERVAL) {
            Ok(Signal::Ended(recorder, end)) => {
                all.merge(&recorder);
                last = last.max(end);
                running -= 1;
            }
            Ok(Signal::Refused(failure)) => return Err(failure),
            Ok(Signal::Open) | Err(mpsc::RecvTimeoutError::Timeout) => {
                progress.show(done.load(Ordering::Relaxed), start.elapsed());
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(lost_thread()),
        }
    }
    Ok((all, last))
}

fn lost_thread() -> Failure {
    Failure::new("a thread of clients ended early")
}

fn report<W: Workload>(
    workload: &W,
    load: &Load,
    recorder: &Recorder,
    seconds: f64,
    cost: Cost,
) -> Measured {
    let requests = recorder.successes();
    let mut extra = workload.extra();
    let open = load.plan.intended();
    if let Some(intended) = open {
        let sent = requests + recorder.errors().values().sum::<u64>();
        extra.insert(
            "due but not sent".into(),
            intended.saturating_sub(sent) as f64,
        );
    }
    let clients = load.plan.clients as f64;
    let interval = Duration::from_secs_f64(seconds * clients / requests.max(1) as f64);
    Measured {
        workload: workload.name(),
        requests,
        errors: recorder.errors().clone(),
        seconds,
        per_second: requests as f64 / seconds.max(1e-9),
        latency_us: if open.is_some() {
            recorder.response()
        } else {
            recorder.service()
        },
        second_latency_us: match open {
            Some(_) => recorder.service(),
            None => recorder.corrected(interval),
        },
        second_latency_is: if open.is_some() {
            "service"
        } else {
            "corrected"
        },
        server: cost.server,
        client_cpu_seconds: cost.client_cpu_seconds,
        other_cpu_share: cost.other_cpu_share,
        extra,
    }
}

impl<W: Workload> Room<W> {
    fn run(self) {
        // If the main thread has ended, there is no receiver.
        let tell = |signal| drop(self.signals.send(signal));
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return tell(Signal::Refused(error.into())),
        };
        runtime.block_on(async {
            let clients = match self.open().await {
                Ok(clients) => clients,
                Err(failure) => return tell(Signal::Refused(failure)),
            };
            tell(Signal::Open);
            let mut go = self.go.clone();
            let schedule = match go.wait_for(Option::is_some).await {
                Ok(schedule) => schedule.clone(),
                Err(_) => return,
            };
            let Some(schedule) = schedule else { return };
            let recorder = self.clients(clients, &schedule).await;
            tell(Signal::Ended(Box::new(recorder), Instant::now()));
        });
    }

    /// Opens this thread's connections and their clients.
    async fn open(&self) -> Result<Vec<(usize, W::Client)>, Failure> {
        let Load {
            endpoints,
            connections,
            threads,
            plan,
            ..
        } = &self.load;
        let mut clients = Vec::new();
        for connection in (self.thread..*connections).step_by(*threads) {
            let wire = Wire::connect(&endpoints[connection % endpoints.len()]).await?;
            for client in (connection..plan.clients).step_by(*connections) {
                clients.push((client, self.workload.open(&wire, client).await?));
            }
        }
        Ok(clients)
    }

    async fn clients(
        &self,
        clients: Vec<(usize, W::Client)>,
        schedule: &Arc<Schedule>,
    ) -> Recorder {
        // Only this thread locks it, so it never waits; it is shared because tasks need owned data.
        let recorder = Arc::new(Mutex::new(Recorder::new()));
        let mut tasks = Vec::with_capacity(clients.len());
        for (number, client) in clients {
            let task = client_loop(
                Arc::clone(&self.workload),
                client,
                number,
                Arc::clone(schedule),
                Arc::clone(&recorder),
                Arc::clone(&self.done),
                self.load.timeout,
            );
            tasks.push(tokio::spawn(task));
        }
        for task in tasks {
            if task.await.is_err() {
                let failure = Failure::new("a client of the generator panicked");
                recorder
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .failure(&failure);
            }
        }
        let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *recorder, Recorder::new())
    }
}

async fn client_loop<W: Workload>(
    workload: Arc<W>,
    mut client: W::Client,
    number: usize,
    schedule: Arc<Schedule>,
    recorder: Arc<Mutex<Recorder>>,
    done: Arc<AtomicU64>,
    timeout: Duration,
) {
    let mut taken = 0;
    while let Some(turn) = schedule.turn(number, taken).await {
        taken += 1;
        let sent = Instant::now();
        let call = workload.call(&mut client, turn.number);
        let result = tokio::time::timeout(timeout, call).await;
        let now = Instant::now();
        done.fetch_add(1, Ordering::Relaxed);
        let failure = match result {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::new("timeout")),
        };
        {
            let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
            match &failure {
                None => recorder.success(now - sent, now - turn.intended),
                Some(failure) => recorder.failure(failure),
            }
        }
        if failure.is_some() {
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}
