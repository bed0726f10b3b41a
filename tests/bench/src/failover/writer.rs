//! Puts that are due at fixed times, whatever the outcome of earlier ones.
//!
//! Each put goes to every member that is not avoided, and the first acknowledgement counts: the
//! measurement is about when the cluster takes writes, not how soon a client finds a member that
//! does. An attempt has a short timeout; many attempts are in flight while nothing is acknowledged,
//! so the first instant at which a put can be acknowledged is seen to within one interval.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conclave_proto::etcdserverpb::{PutRequest, PutResponse};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use crate::target::Target;
use crate::wire::{Failure, Method, Wire};
use crate::workload::path;

/// Number of different keys: few, so that the store stays small over many rounds.
const KEYS: u64 = 1000;
const NOBODY: usize = usize::MAX;

/// An acknowledged put.
#[derive(Clone, Copy)]
struct Acknowledged {
    due: Instant,
    at: Instant,
}

/// State shared by the thread and its owner.
struct Shared {
    acknowledged: Mutex<Vec<Acknowledged>>,
    avoid: AtomicUsize,
    stop: AtomicBool,
}

/// A writer in its own thread, until it is dropped.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        targets: Vec<Target>,
        interval: Duration,
        deadline: Duration,
    ) -> Result<Writer, Failure> {
        let shared = Arc::new(Shared {
            acknowledged: Mutex::default(),
            avoid: AtomicUsize::new(NOBODY),
            stop: AtomicBool::new(false),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                LocalSet::new().block_on(&runtime, write(targets, interval, deadline, shared));
            }
        });
        Ok(Writer {
            shared,
            thread: Some(thread),
        })
    }

    /// Sends nothing to this member from now on; `None` ends that.
    pub(crate) fn avoid(&self, number: Option<usize>) {
        self.shared
            .avoid
            .store(number.unwrap_or(NOBODY), Ordering::Relaxed);
    }

    /// The number of puts acknowledged since then.
    pub(crate) fn acknowledged_since(&self, since: Instant) -> usize {
        let all = self.acknowledged();
        all.iter().rev().take_while(|one| one.at > since).count()
    }

    /// The longest time between two successive acknowledgements, the later of which came after
    /// `fault`.
    pub(crate) fn longest_gap(&self, fault: Instant) -> Duration {
        let all = self.acknowledged();
        let gaps = all.windows(2).filter(|two| two[1].at > fault);
        gaps.map(|two| two[1].at - two[0].at)
            .max()
            .unwrap_or_default()
    }

    /// The sorted latencies, in milliseconds from due to acknowledged, of puts due in this
    /// interval.
    pub(crate) fn latencies(&self, from: Instant, to: Instant) -> Vec<f64> {
        let all = self.acknowledged();
        let among = all.iter().filter(|one| (from..to).contains(&one.due));
        let mut latencies: Vec<_> = among
            .map(|one| (one.at - one.due).as_secs_f64() * 1e3)
            .collect();
        latencies.sort_unstable_by(f64::total_cmp);
        latencies
    }

    /// Discards all recorded acknowledgements.
    pub(crate) fn forget(&self) {
        self.acknowledged().clear();
    }

    fn acknowledged(&self) -> MutexGuard<'_, Vec<Acknowledged>> {
        self.shared
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed already.
            drop(thread.join());
        }
    }
}

/// A connection that is reopened when it is lost.
struct Link {
    target: Target,
    method: RefCell<Option<Method>>,
    connecting: Cell<bool>,
}

async fn write(targets: Vec<Target>, interval: Duration, deadline: Duration, shared: Arc<Shared>) {
    let link = |target| {
        Rc::new(Link {
            target,
            method: RefCell::new(None),
            connecting: Cell::new(false),
        })
    };
    let links: Vec<_> = targets.into_iter().map(link).collect();
    let mut ticks = tokio::time::interval(interval);
    // A late put does not delay the next one, which is due at its own time.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        let due = ticks.tick().await.into_std();
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let avoid = shared.avoid.load(Ordering::Relaxed);
        let answered = Rc::new(Cell::new(false));
        for (member, link) in links.iter().enumerate() {
            if member == avoid {
                continue;
            }
            let put = attempt(
                Rc::clone(link),
                number,
                deadline,
                due,
                Rc::clone(&answered),
                Arc::clone(&shared),
            );
            tokio::task::spawn_local(put);
        }
    }
}

async fn attempt(
    link: Rc<Link>,
    number: u64,
    deadline: Duration,
    due: Instant,
    answered: Rc<Cell<bool>>,
    shared: Arc<Shared>,
) {
    let Some(mut method) = link.ready().await else {
        return;
    };
    let request = PutRequest {
        key: Bytes::from(format!("conclave-bench-steady/{:04}", number % KEYS)),
        value: Bytes::from(number.to_string()),
        ..Default::default()
    };
    let answer = tokio::time::timeout(deadline, method.call::<PutResponse>(&request)).await;
    match answer {
        Ok(Ok(_)) if !answered.replace(true) => {
            let at = Instant::now();
            let mut all = shared
                .acknowledged
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.push(Acknowledged { due, at });
        }
        // The member was restarted.
        Ok(Err(failure)) if failure.is_of_token() => {
            link.target.forget_token().await;
            link.lose();
        }
        // An error of the connection, not an answer of the server.
        Ok(Err(failure)) if !failure.0.starts_with("grpc") => link.lose(),
        Ok(_) | Err(_) => {}
    }
}

impl Link {
    async fn ready(&self) -> Option<Method> {
        let made = self.method.borrow().clone();
        if made.is_some() || self.connecting.replace(true) {
            return made;
        }
        let wire = Wire::connect(&self.target).await;
        self.connecting.set(false);
        let method = wire.and_then(|wire| wire.method(path::PUT)).ok();
        self.method.borrow_mut().clone_from(&method);
        method
    }

    fn lose(&self) {
        *self.method.borrow_mut() = None;
    }
}
