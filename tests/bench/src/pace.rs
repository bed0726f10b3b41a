//! When requests are sent, and when they stop.
//!
//! *Closed loop*: each client sends its next request when it has the answer to the last one. The
//! server sets the pace.
//!
//! *Open loop*: request `n` of the run is due at `start + n / rate`, whatever the server does, and
//! belongs to client `n % clients`. A client that is still waiting then sends late, as soon as it
//! can, and its latency is still counted from the due time.
//!
//! The runtime's timers have a resolution of a millisecond, more than many requests take, so the
//! open loop has its own thread, the [`Pacer`], which sleeps by the kernel's finer clock and wakes
//! the client whose turn has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Upper limit for the length of a run.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(3600);

/// The number and rate of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Number of requests of the whole run; none for as many as fit in the duration.
    pub(crate) total: Option<u64>,
    pub(crate) duration: Option<Duration>,
    /// Requests per second of the whole run; none for a closed loop.
    pub(crate) rate: Option<f64>,
}

impl Plan {
    fn total(&self) -> u64 {
        self.total.unwrap_or(u64::MAX)
    }

    fn length(&self) -> Duration {
        self.duration.unwrap_or(RUN_MAX).min(RUN_MAX)
    }

    /// Number of requests of an open loop.
    pub(crate) fn intended(&self) -> Option<u64> {
        let rate = self.rate?;
        Some(
            self.total()
                .min((rate * self.length().as_secs_f64()).ceil() as u64),
        )
    }
}

/// A request to send: its number in the run and its due time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    pub(crate) intended: Instant,
}

/// The schedule shared by all clients of a run.
pub(crate) struct Schedule {
    plan: Plan,
    start: Instant,
    taken: AtomicU64,
    bells: Box<[Notify]>,
}

impl Schedule {
    pub(crate) fn new(plan: Plan, start: Instant) -> Arc<Schedule> {
        let bells = (0..plan.clients).map(|_| Notify::new()).collect();
        Arc::new(Schedule {
            plan,
            start,
            taken: AtomicU64::new(0),
            bells,
        })
    }

    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Waits for the due time of the next request of `client`, which has sent `taken` before.
    /// Returns none at the end of the run.
    pub(crate) async fn turn(&self, client: usize, taken: u64) -> Option<Turn> {
        let Some(rate) = self.plan.rate else {
            return self.closed_turn();
        };
        let number = taken * self.plan.clients as u64 + client as u64;
        let offset = Duration::from_secs_f64(number as f64 / rate);
        if number >= self.plan.total() || offset >= self.plan.length() {
            return None;
        }
        let intended = self.start + offset;
        loop {
            let now = Instant::now();
            if now.duration_since(self.start) >= self.plan.length() {
                return None;
            }
            if now >= intended {
                return Some(Turn { number, intended });
            }
            // A wake-up may be for an earlier turn, so the clock decides.
            self.bells[client].notified().await;
        }
    }

    fn closed_turn(&self) -> Option<Turn> {
        let intended = Instant::now();
        if intended.duration_since(self.start) >= self.plan.length() {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        (number < self.plan.total()).then_some(Turn { number, intended })
    }
}

/// The thread that wakes the clients of an open loop. It ends after the last turn, or when it is
/// dropped.
pub(crate) struct Pacer {
    stop: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pacer {
    pub(crate) fn start(schedule: &Arc<Schedule>) -> Pacer {
        let (stop, stopped) = std::sync::mpsc::channel();
        let Some((rate, intended)) = schedule.plan.rate.zip(schedule.plan.intended()) else {
            return Pacer {
                stop: None,
                thread: None,
            };
        };
        let schedule = Arc::clone(schedule);
        let thread = thread::spawn(move || {
            for number in 0..intended {
                let due = schedule.start + Duration::from_secs_f64(number as f64 / rate);
                let wait = due.saturating_duration_since(Instant::now());
                // Nothing is ever sent: any result but a timeout means the end of the run.
                if !wait.is_zero()
                    && stopped.recv_timeout(wait) != Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    break;
                }
                schedule.bells[(number % schedule.plan.clients as u64) as usize].notify_one();
            }
        });
        Pacer {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // The run is over, so a panic of the thread no longer matters.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(total: u64, rate: Option<f64>) -> Plan {
        Plan {
            clients: 3,
            total: Some(total),
            duration: None,
            rate,
        }
    }

    #[tokio::test]
    async fn a_closed_loop_hands_out_each_number_once() {
        let schedule = Schedule::new(plan(5, None), Instant::now());
        let mut numbers = Vec::new();
        while let Some(turn) = schedule.turn(0, 99).await {
            numbers.push(turn.number);
        }
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }

    /// The run started in the past, so every turn is late: each must still have its due time.
    #[tokio::test]
    async fn an_open_loop_counts_from_the_intended_moment() {
        let start = Instant::now() - Duration::from_secs(10);
        let schedule = Schedule::new(plan(7, Some(1.0)), start);
        let second = schedule.turn(1, 0).await.expect("request 1");
        assert_eq!(
            (second.number, second.intended - start),
            (1, Duration::from_secs(1))
        );
        let fifth = schedule.turn(1, 1).await.expect("request 4");
        assert_eq!(
            (fifth.number, fifth.intended - start),
            (4, Duration::from_secs(4))
        );
        assert!(
            schedule.turn(1, 2).await.is_none(),
            "request 7 is beyond the total"
        );
    }

    #[tokio::test]
    async fn the_pacer_wakes_clients_on_time() {
        let schedule = Schedule::new(plan(6, Some(200.0)), Instant::now());
        let _pacer = Pacer::start(&schedule);
        for number in 0..6 {
            let turn = schedule
                .turn((number % 3) as usize, number / 3)
                .await
                .expect("in the plan");
            assert!(turn.number == number && Instant::now() >= turn.intended);
        }
    }

    #[test]
    fn a_duration_bounds_what_an_open_loop_means_to_send() {
        let plan = Plan {
            duration: Some(Duration::from_secs(2)),
            total: None,
            ..plan(0, Some(150.0))
        };
        assert_eq!(plan.intended(), Some(300));
    }
}
