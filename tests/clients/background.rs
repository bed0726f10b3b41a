//! Calls in the background of a scenario.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::wait::eventually_by;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::reply::judge;
use crate::script::{Call, Times};
use crate::subject::{Reply, Subject};
use crate::values::{Variables, shown};

/// Time limit of one iteration of a loop, for a busy machine.
const PROGRESS: Duration = Duration::from_secs(60);

/// Keys and values.
pub(crate) type Records = Vec<(String, String)>;

/// A running call, or a loop of calls.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) subject: Arc<Subject>,
    state: Arc<State>,
    task: JoinHandle<Result<Ended, Failure>>,
}

#[derive(Debug, Default)]
struct State {
    /// The id of the last request.
    request: AtomicU64,
    is_stopped: AtomicBool,
    /// Calls of a loop that succeeded.
    succeeded: AtomicU64,
}

/// The outcome of a background call or loop.
#[derive(Debug)]
pub(crate) struct Ended {
    /// A loop's result has the number of calls that succeeded (`ok`) and failed (`failed`), the
    /// slowest one's seconds, and the last result.
    pub(crate) reply: Reply,
    /// The puts of a loop that were acknowledged.
    pub(crate) records: Records,
}

impl Background {
    /// Sends one request.
    pub(crate) fn once(subject: &Arc<Subject>, operation: &str, arguments: Value) -> Self {
        let state = Arc::new(State::default());
        let sent = subject.send(operation, arguments);
        state.request.store(sent.id, Ordering::Relaxed);
        let task = tokio::spawn(async move {
            let reply = sent.reply().await?;
            Ok(Ended {
                reply,
                records: Vec::new(),
            })
        });
        let subject = Arc::clone(subject);
        Self {
            subject,
            state,
            task,
        }
    }

    /// Makes a call again and again; each must have the expected outcome.
    pub(crate) fn repeated(
        subject: &Arc<Subject>,
        call: &Call,
        times: Times,
        variables: Variables,
    ) -> Self {
        let state = Arc::new(State::default());
        let round = Round {
            subject: Arc::clone(subject),
            state: Arc::clone(&state),
            call: call.clone(),
            variables,
        };
        let task = tokio::spawn(round.run(times));
        let subject = Arc::clone(subject);
        Self {
            subject,
            state,
            task,
        }
    }

    /// The id of the request that was sent last.
    pub(crate) fn request(&self) -> u64 {
        self.state.request.load(Ordering::Relaxed)
    }

    /// Has a loop end after its present call.
    pub(crate) fn stop(&self) {
        self.state.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Waits until so many calls of a loop have succeeded.
    pub(crate) async fn reach(&self, count: u64) -> Result<(), Failure> {
        let what = format!("{count} calls to succeed");
        eventually_by(Instant::now() + PROGRESS, &what, || async {
            let reached = self.state.succeeded.load(Ordering::Relaxed) >= count;
            (reached || self.task.is_finished()).then_some(())
        })
        .await;
        match self.state.succeeded.load(Ordering::Relaxed) {
            reached if reached >= count => Ok(()),
            reached => Err(Failure::new(format!("it ended after {reached}"))),
        }
    }

    pub(crate) fn expect_pending(&self) -> Result<(), Failure> {
        match self.task.is_finished() {
            true => Err(Failure::new("it has ended")),
            false => Ok(()),
        }
    }

    /// Waits for the end.
    pub(crate) async fn end(self) -> Result<Ended, Failure> {
        let ended = self.task.await;
        ended.map_err(|error| Failure::new(error.to_string()))?
    }
}

struct Round {
    subject: Arc<Subject>,
    state: Arc<State>,
    call: Call,
    variables: Variables,
}

impl Round {
    async fn run(mut self, times: Times) -> Result<Ended, Failure> {
        let (mut ok, mut failed, mut slowest, mut last) = (0_u64, 0_u64, 0.0_f64, Value::Null);
        let mut records = Vec::new();
        let most = match times {
            Times::Exactly(count) => count,
            Times::Once | Times::UntilStopped => u64::MAX,
        };
        for turn in 1..=most {
            if self.state.is_stopped.load(Ordering::Relaxed) {
                break;
            }
            self.variables.set("n", turn.into());
            let begin = Instant::now();
            let (arguments, reply) = self.turn().await?;
            slowest = slowest.max(begin.elapsed().as_secs_f64());
            match reply {
                Ok(result) => {
                    ok += 1;
                    self.state.succeeded.store(ok, Ordering::Relaxed);
                    last = result;
                    if self.call.operation.name == "put" {
                        records.push((shown(&arguments["key"]), shown(&arguments["value"])));
                    }
                }
                Err(_) => failed += 1,
            }
        }
        let result = json!({"ok": ok, "failed": failed, "slowest": slowest, "last": last});
        Ok(Ended {
            reply: Ok(result),
            records,
        })
    }

    async fn turn(&mut self) -> Result<(Value, Reply), Failure> {
        let operation = self.call.operation;
        let mut arguments = serde_json::Map::new();
        for (name, text) in &self.call.arguments {
            let kind = operation.kind_of(name).expect("the parser knows it");
            let value = self.variables.argument(kind, text).map_err(Failure::new)?;
            arguments.insert(name.clone(), value);
        }
        let arguments = Value::from(arguments);
        let begin = Instant::now();
        let sent = self.subject.send(operation.name, arguments.clone());
        self.state.request.store(sent.id, Ordering::Relaxed);
        let reply = sent.reply().await?;
        judge(
            &self.call.expected,
            &reply,
            begin.elapsed(),
            &mut self.variables,
        )?;
        Ok((arguments, reply))
    }
}
