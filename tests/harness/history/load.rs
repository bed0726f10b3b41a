//! Clients that read and write at random and record the outcomes.
//!
//! Each client stays with a member until a request to it fails, then moves to the next. An
//! operation has a timeout of one second; after that its outcome is *unknown*. A refusal counts as
//! certain only if the request cannot have entered the log: the connection was never made, or the
//! error is one that is returned before proposing.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::etcdserverpb as pb;
use pb::compare::{CompareResult, TargetUnion};
use pb::kv_client::KvClient;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Call, Effect, Operation, Outcome, Recorder, Version};
use crate::api::{self, op, revision_of};
use crate::node::connect;
use crate::{eventually, within};

/// The prefix of all keys of the load.
pub const PREFIX: &str = "load/";
/// Timeout after which the outcome of an operation is unknown.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause between operations of one client. Checking a history is cheaper than making it, but a
/// member that has to catch up competes with others for two processors.
const PACE: Duration = Duration::from_millis(10);

/// Running clients.
#[derive(Debug)]
pub struct Load {
    recorder: Arc<Recorder>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// The size of a load.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Number of clients.
    pub clients: usize,
    /// Number of different keys; few, so that clients conflict.
    pub keys: usize,
    /// Seed of the clients' random choices.
    pub seed: u64,
}

impl Load {
    /// Starts the clients, each at a different endpoint first.
    pub fn start(endpoints: &[String], size: Size, recorder: &Arc<Recorder>) -> Self {
        let stop = watch::Sender::new(false);
        let tasks = (0..size.clients)
            .map(|number| {
                let client = Client {
                    number,
                    channels: endpoints.iter().map(|endpoint| connect(endpoint)).collect(),
                    at: number % endpoints.len(),
                    keys: size.keys,
                    random: StdRng::seed_from_u64(size.seed ^ ((number as u64) << 32)),
                    seen: BTreeMap::new(),
                    recorder: Arc::clone(recorder),
                };
                tokio::spawn(client.work(stop.subscribe()))
            })
            .collect();
        Self {
            recorder: Arc::clone(recorder),
            stop,
            tasks,
        }
    }

    /// Number of operations answered so far.
    pub fn answered(&self) -> usize {
        self.recorder.counts().0
    }

    /// Waits until `more` further operations are answered.
    pub async fn wait_for(&self, more: usize) {
        let enough = self.answered() + more;
        eventually(&format!("{more} more answers"), || async {
            (self.answered() >= enough).then_some(())
        })
        .await;
    }

    /// Stops all clients after their current operations.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            within("a client to end", task)
                .await
                .expect("a client does not panic");
        }
    }
}

struct Client {
    number: usize,
    channels: Vec<Channel>,
    at: usize,
    keys: usize,
    random: StdRng,
    /// The revision of the last known change of each key, which its swaps expect.
    seen: BTreeMap<String, i64>,
    recorder: Arc<Recorder>,
}

impl Client {
    async fn work(mut self, stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if *stop.borrow() {
                return;
            }
            let (key, call) = self.choose();
            let invoked = self.recorder.now();
            let kv = KvClient::new(self.channels[self.at].clone());
            let asked = tokio::time::timeout(PATIENCE, ask(kv, &key, &call)).await;
            let outcome = match asked {
                Ok(Ok((revision, effect))) => Outcome::Done(revision, effect),
                Ok(Err(status)) if is_certain(&status) => Outcome::Refused,
                Ok(Err(_)) | Err(_) => Outcome::Unknown,
            };
            let returned = self.recorder.now();
            self.learn(&key, &outcome);
            let client = self.number;
            self.recorder.operation(Operation {
                client,
                key,
                call,
                invoked,
                returned,
                outcome,
            });
        }
    }

    fn choose(&mut self) -> (String, Call) {
        let key = format!("{PREFIX}{}", self.random.random_range(0..self.keys));
        // Unique even when several loads share a recorder.
        let value = format!("{}.{}", self.number, self.recorder.now());
        let call = match self.random.random_range(0..100) {
            0..40 => Call::Put(value),
            40..65 => Call::Swap(self.seen.get(&key).copied().unwrap_or(0), value),
            65..72 => Call::Delete,
            72..90 => Call::Get,
            _ => Call::GetLocal,
        };
        (key, call)
    }

    fn learn(&mut self, key: &str, outcome: &Outcome) {
        match outcome {
            Outcome::Done(revision, Effect::Written) => {
                self.seen.insert(key.to_owned(), *revision);
            }
            Outcome::Done(_, Effect::Read(found)) => {
                let modified = found.as_ref().map_or(0, |version| version.modified);
                self.seen.insert(key.to_owned(), modified);
            }
            Outcome::Done(_, Effect::Nothing) => {
                self.seen.remove(key);
            }
            Outcome::Refused | Outcome::Unknown => self.at = (self.at + 1) % self.channels.len(),
        }
    }
}

/// Sends a request to a member; returns the revision in the header and the effect.
async fn ask(mut kv: KvClient<Channel>, key: &str, call: &Call) -> Result<(i64, Effect), Status> {
    let key = key.to_owned();
    match call {
        Call::Put(value) => {
            let reply = kv.put(api::put(key, value.clone())).await?.into_inner();
            Ok((revision_of(&reply.header), Effect::Written))
        }
        Call::Delete => {
            let reply = kv.delete_range(api::delete(key)).await?.into_inner();
            Ok((revision_of(&reply.header), written_if(reply.deleted > 0)))
        }
        Call::Swap(expected, value) => {
            let operand = TargetUnion::ModRevision(*expected);
            let unchanged = api::compare(key.clone(), CompareResult::Equal, operand);
            let txn = api::txn([unchanged], [op(api::put(key, value.clone()))], []);
            let reply = kv.txn(txn).await?.into_inner();
            Ok((revision_of(&reply.header), written_if(reply.succeeded)))
        }
        Call::Get | Call::GetLocal => {
            let serializable = *call == Call::GetLocal;
            let request = pb::RangeRequest {
                serializable,
                ..api::get(key)
            };
            let reply = kv.range(request).await?.into_inner();
            let found = reply.kvs.first().map(Version::of);
            Ok((revision_of(&reply.header), Effect::Read(found)))
        }
    }
}

fn written_if(written: bool) -> Effect {
    if written {
        Effect::Written
    } else {
        Effect::Nothing
    }
}

/// Returns true if a request that ended with this status was not and will not be done.
pub fn is_certain(status: &Status) -> bool {
    if status.message() == "etcdserver: too many requests" {
        return true;
    }
    let early = [
        Code::InvalidArgument,
        Code::OutOfRange,
        Code::FailedPrecondition,
    ];
    early.contains(&status.code()) || never_connected(status)
}

fn never_connected(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
}
