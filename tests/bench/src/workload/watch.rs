//! Watches: one writer, many watchers, and the time and processor cost of delivering the events.
//!
//! There are `keys` keys and `watchers` watchers, the same number on each key; put `n` is to key `n
//! % keys`, and its number is in its value. With one key the workload is *fan-out*: every event
//! goes to all watchers. With as many keys as watchers it is *latency*: every event goes to one.
//!
//! In a closed loop, the writer waits until all watchers of a put have received its event; in an
//! open loop, it keeps to the rate, and latency counts from the put's due time.
//!
//! Invariants, the violation of which fails the run:
//!
//! - every watcher gets each event of its key once and in order, which the numbers show;
//! - revisions rise with them, and no response has a revision below its events';
//! - after the last event comes one more round of puts that is not measured, so that a duplicate of
//!   the last event is noticed as well.
//!
//! Everything runs on one thread: a delivery is counted where it arrives.

mod reader;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use clap::ValueEnum;
use serde::Serialize;
use tokio::sync::Notify;

use crate::data::{Keys, Values};
use crate::drive::Load;
use crate::meter::Meter;
use crate::pace::{Pacer, Plan, Schedule};
use crate::progress::Progress;
use crate::stats::{Measured, Recorder};
use crate::target::Target;
use crate::wire::{Failure, Method, Wire};
use crate::workload::watch::reader::{Reader, Share};
use crate::workload::{path, put_once};

/// How watchers share streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Streams {
    /// One stream per connection, with all its watchers: what most clients do.
    Shared,
    /// One stream per watcher.
    Separate,
}

/// A watch workload. The load's plan counts puts; its clients and threads are not used.
pub(crate) struct WatchRun {
    pub(crate) name: &'static str,
    pub(crate) watchers: u64,
    pub(crate) streams: Streams,
    pub(crate) keys: Keys,
    pub(crate) values: Values,
    pub(crate) events: u64,
}

/// State shared by the readers and the writer.
struct Board {
    begin: Instant,
    /// For each put, when it was sent or due, in nanoseconds since `begin`.
    sent: Box<[AtomicU64]>,
    /// For each put, the number of watchers that have received its event.
    heard: Box<[AtomicU64]>,
    /// Number of watchers of each key.
    audience: u64,
    delivered: AtomicU64,
    /// Notified when a put's event has reached all its watchers, and at a failure.
    bell: Notify,
    numbers: Mutex<Numbers>,
}

struct Numbers {
    each: Recorder,
    last: Recorder,
    puts: Recorder,
    failure: Option<Failure>,
}

impl Numbers {
    fn new() -> Numbers {
        let [each, last, puts] = [Recorder::new(), Recorder::new(), Recorder::new()];
        Numbers {
            each,
            last,
            puts,
            failure: None,
        }
    }
}

impl Board {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Counts a delivery of put `number` to one watcher.
    fn deliver(&self, number: u64) {
        let number = number as usize;
        let waited = self
            .now()
            .saturating_sub(self.sent[number].load(Ordering::Relaxed));
        let waited = Duration::from_nanos(waited);
        let heard = self.heard[number].fetch_add(1, Ordering::Relaxed) + 1;
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let mut numbers = self.numbers();
        numbers.each.success(waited, waited);
        if heard == self.audience {
            numbers.last.success(waited, waited);
            drop(numbers);
            self.bell.notify_one();
        }
    }

    fn fail(&self, failure: Failure) {
        self.numbers().failure.get_or_insert(failure);
        self.bell.notify_one();
    }

    /// Waits until `delivered` deliveries have been made in total.
    async fn wait(&self, delivered: u64, timeout: Duration) -> Result<(), Failure> {
        let waiting = async {
            loop {
                if let Some(failure) = &self.numbers().failure {
                    return Err(failure.clone());
                }
                if self.delivered.load(Ordering::Relaxed) >= delivered {
                    return Ok(());
                }
                self.bell.notified().await;
            }
        };
        match tokio::time::timeout(timeout, waiting).await {
            Ok(result) => result,
            Err(_) => {
                let missing = delivered - self.delivered.load(Ordering::Relaxed);
                Err(Failure(format!(
                    "check: {missing} events were not delivered in time"
                )))
            }
        }
    }
}

impl WatchRun {
    /// Runs the whole workload.
    pub(crate) fn run(&self, load: &Load) -> Result<Measured, Failure> {
        let space = self.keys.space();
        if self.watchers == 0 || !self.watchers.is_multiple_of(space) {
            return Err(Failure::new(
                "the number of watchers must be a multiple of the number of keys",
            ));
        }
        load.forget_tokens()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let puts = self.events + space;
        let counters = || (0..puts).map(|_| AtomicU64::new(0)).collect();
        let board = Arc::new(Board {
            begin: Instant::now(),
            sent: counters(),
            heard: counters(),
            audience: self.watchers / space,
            delivered: AtomicU64::new(0),
            bell: Notify::new(),
            numbers: Mutex::new(Numbers::new()),
        });
        runtime.block_on(self.measure(load, &board))
    }

    async fn measure(&self, load: &Load, board: &Arc<Board>) -> Result<Measured, Failure> {
        let writer_wire = Wire::connect(&load.endpoints[0]).await?;
        let mut put = writer_wire.method(path::PUT)?;
        let opening = self.open(&load.endpoints, load.connections, board);
        let readers = match tokio::time::timeout(load.timeout * 3, opening).await {
            Ok(readers) => readers?,
            Err(_) => return Err(Failure::new("the watchers could not be opened in time")),
        };
        for reader in readers {
            tokio::spawn(reader.run());
        }

        let meter = Meter::start(&load.pids)?;
        let (numbers, seconds) = self.write(load, board, &mut put).await?;
        let delivered = self.events * board.audience;
        let cost = meter.finish(delivered, load.settle)?;
        self.last_round(load, board, &mut put).await?;

        let put_latency = numbers.puts.response();
        Ok(Measured {
            workload: self.name.into(),
            requests: delivered,
            errors: BTreeMap::new(),
            seconds,
            per_second: delivered as f64 / seconds.max(1e-9),
            latency_us: numbers.each.service(),
            second_latency_us: numbers.last.service(),
            second_latency_is: "to the last watcher",
            server: cost.server,
            client_cpu_seconds: cost.client_cpu_seconds,
            other_cpu_share: cost.other_cpu_share,
            extra: BTreeMap::from([
                ("puts".into(), self.events as f64),
                ("put p50 us".into(), put_latency.p50),
                ("put p99 us".into(), put_latency.p99),
            ]),
        })
    }

    /// Runs the measured puts. Returns the measurements and the time until the last delivery.
    async fn write(
        &self,
        load: &Load,
        board: &Arc<Board>,
        put: &mut Method,
    ) -> Result<(Numbers, f64), Failure> {
        let plan = Plan {
            clients: 1,
            total: Some(self.events),
            ..load.plan
        };
        let progress = Progress::new(self.name, &plan, load.progress);
        let schedule = Schedule::new(plan, Instant::now());
        let _pacer = Pacer::start(&schedule);
        let mut written = 0;
        while let Some(turn) = schedule.turn(0, written).await {
            self.put(load, board, put, turn.number, turn.intended)
                .await?;
            written += 1;
            if load.plan.rate.is_none() {
                board.wait(written * board.audience, load.timeout).await?;
            }
            progress.show(written, schedule.start().elapsed());
        }
        if written < self.events {
            return Err(Failure::new("the run took too long"));
        }
        board
            .wait(self.events * board.audience, load.timeout)
            .await?;
        let seconds = schedule.start().elapsed().as_secs_f64();
        Ok((
            std::mem::replace(&mut *board.numbers(), Numbers::new()),
            seconds,
        ))
    }

    /// Puts once more to each key: a watcher that receives any other event first has received a
    /// duplicate.
    async fn last_round(
        &self,
        load: &Load,
        board: &Arc<Board>,
        put: &mut Method,
    ) -> Result<(), Failure> {
        let all = self.events + self.keys.space();
        for number in self.events..all {
            self.put(load, board, put, number, Instant::now()).await?;
        }
        board.wait(all * board.audience, load.timeout).await
    }

    async fn put(
        &self,
        load: &Load,
        board: &Board,
        put: &mut Method,
        number: u64,
        intended: Instant,
    ) -> Result<(), Failure> {
        let since = intended.saturating_duration_since(board.begin).as_nanos() as u64;
        board.sent[number as usize].store(since, Ordering::Relaxed);
        let key = self.keys.key(number % self.keys.space());
        let sent = Instant::now();
        let putting = put_once(put, key, self.value(number));
        match tokio::time::timeout(load.timeout, putting).await {
            Ok(result) => result?,
            Err(_) => return Err(Failure::new("put: timeout")),
        };
        board
            .numbers()
            .puts
            .success(sent.elapsed(), intended.elapsed());
        Ok(())
    }

    /// The put's number, then random bytes.
    fn value(&self, number: u64) -> Bytes {
        let mut value = BytesMut::with_capacity(size_of::<u64>() + self.values.size());
        value.put_u64(number);
        value.put_slice(&self.values.value(number));
        value.freeze()
    }

    /// Opens all streams and their watchers, each acknowledged.
    async fn open(
        &self,
        endpoints: &[Target],
        connections: usize,
        board: &Arc<Board>,
    ) -> Result<Vec<Reader>, Failure> {
        let mut readers = Vec::new();
        for connection in 0..connections {
            let wire = Wire::connect(&endpoints[connection % endpoints.len()]).await?;
            let mine: Vec<u64> = (connection as u64..self.watchers)
                .step_by(connections)
                .collect();
            let size = match self.streams {
                Streams::Shared => mine.len().max(1),
                Streams::Separate => 1,
            };
            for watchers in mine.chunks(size) {
                let keys = watchers.iter().map(|watcher| watcher % self.keys.space());
                let share = Share {
                    first_puts: keys.collect(),
                    step: self.keys.space(),
                };
                readers.push(Reader::open(&wire, &self.keys, share, Arc::clone(board)).await?);
            }
        }
        Ok(readers)
    }
}
