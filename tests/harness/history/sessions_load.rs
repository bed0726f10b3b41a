//! Clients that hold locks and keep leases alive, and record for how long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3lockpb::lock_client::LockClient;
use conclave_proto::v3lockpb::{LockRequest, UnlockRequest};
use pb::compare::{CompareResult, TargetUnion};
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::{Hold, Life, Recorder};
use crate::api::{self, op};
use crate::node::connect;
use crate::within;

/// The prefix of the keys attached to leases.
pub const LEASES: &str = "lease/";
/// The lock that all lockers compete for.
pub const LOCK: &str = "lock";
/// Time to live of a session, in seconds.
pub const TTL: i64 = 3;
/// Timeout of an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Keep-alives of a lease before it is abandoned, and checks of a lock before it is released.
const RENEWALS: usize = 5;
/// Pause between checks of a lock.
const CHECK: Duration = Duration::from_millis(60);

/// Running clients.
#[derive(Debug)]
pub struct Sessions {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sessions {
    /// Starts `count` clients that compete for the lock, and `count` that keep leases alive.
    pub fn start(endpoints: &[String], count: usize, recorder: &Arc<Recorder>) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        for number in 0..count {
            let client = || Client {
                channels: endpoints.iter().map(|endpoint| connect(endpoint)).collect(),
                at: number,
                recorder: Arc::clone(recorder),
                stop: stop.subscribe(),
            };
            tasks.push(tokio::spawn(client().lock_on_and_on()));
            tasks.push(tokio::spawn(client().keep_on_and_on(number)));
        }
        Self { stop, tasks }
    }

    /// Stops all clients; held locks and kept leases are left to expire.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            within("a session to end", task)
                .await
                .expect("a client does not panic");
        }
    }
}

struct Client {
    channels: Vec<Channel>,
    at: usize,
    recorder: Arc<Recorder>,
    stop: watch::Receiver<bool>,
}

impl Client {
    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    fn channel(&self) -> Channel {
        self.channels[self.at % self.channels.len()].clone()
    }

    /// Returns the answer if it comes in time; otherwise moves to the next member.
    async fn ask<T>(&mut self, answer: impl Future<Output = Result<T, Status>>) -> Option<T> {
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .ok()
            .and_then(Result::ok);
        if answer.is_none() {
            self.at += 1;
        }
        answer
    }

    async fn grant(&mut self) -> Option<i64> {
        let mut stub = LeaseClient::new(self.channel());
        let request = pb::LeaseGrantRequest { id: 0, ttl: TTL };
        let granted = self.ask(stub.lease_grant(request)).await?;
        Some(granted.into_inner().id)
    }

    async fn lock_on_and_on(mut self) {
        let mut ticks = tokio::time::interval(CHECK);
        while !self.stopped() {
            ticks.tick().await;
            let Some(lease) = self.grant().await else {
                continue;
            };
            let mut stub = LockClient::new(self.channel());
            let request = LockRequest {
                name: Bytes::from_static(LOCK.as_bytes()),
                lease,
            };
            let Some(locked) = self.ask(stub.lock(request)).await else {
                continue;
            };
            let key = locked.into_inner().key;
            self.hold(key.clone(), &mut ticks).await;
            let mut stub = LockClient::new(self.channel());
            let _ = self.ask(stub.unlock(UnlockRequest { key })).await;
        }
    }

    /// Checks a few times that the lock is held, for less than the lease's time to live.
    async fn hold(&mut self, key: Bytes, ticks: &mut tokio::time::Interval) {
        let Some((fence, _)) = self.check(&key).await else {
            return;
        };
        let from = self.recorder.now();
        let mut until = from;
        for _ in 0..RENEWALS {
            ticks.tick().await;
            match self.check(&key).await {
                Some((same, sent)) if same == fence => until = sent,
                _ => break,
            }
        }
        let key = String::from_utf8_lossy(&key).into_owned();
        self.recorder.hold(Hold {
            lock: LOCK.to_owned(),
            key,
            fence,
            from,
            until,
        });
    }

    /// The revision that created the key if it exists, and when the request was sent.
    async fn check(&mut self, key: &Bytes) -> Option<(i64, u64)> {
        let sent = self.recorder.now();
        let exists = TargetUnion::CreateRevision(0);
        let exists = api::compare(key.clone(), CompareResult::Greater, exists);
        let txn = api::txn([exists], [op(api::get(key.clone()))], []);
        let mut stub = KvClient::new(self.channel());
        let reply = self.ask(stub.txn(txn)).await?.into_inner();
        let found = reply.responses.first().filter(|_| reply.succeeded)?;
        let created = api::ranged(found).kvs.first()?.create_revision;
        Some((created, sent))
    }

    async fn keep_on_and_on(mut self, number: usize) {
        let ttl = Duration::from_secs(TTL as u64);
        let mut ticks = tokio::time::interval(ttl / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for sequence in 0.. {
            ticks.tick().await;
            if self.stopped() {
                return;
            }
            let mut renewed = Instant::now();
            let Some(lease) = self.grant().await else {
                continue;
            };
            let key = format!("{LEASES}{number}.{sequence}");
            let mut stub = KvClient::new(self.channel());
            let put = api::put_leased(key.clone(), "kept", lease);
            let _ = self.ask(stub.put(put)).await;
            for _ in 0..RENEWALS {
                ticks.tick().await;
                let sent = Instant::now();
                match self.keep_alive(lease).await {
                    Some(left) if left > 0 => renewed = sent,
                    // The lease is gone; `check_leases` decides whether that was early.
                    Some(_) => break,
                    None => {}
                }
            }
            self.recorder.life(Life {
                key,
                ttl,
                renewed,
                revoked: false,
            });
        }
    }

    async fn keep_alive(&mut self, id: i64) -> Option<i64> {
        let mut stub = LeaseClient::new(self.channel());
        let asked = async {
            // The stream of requests stays open while the answer is awaited.
            let (requests, receiver) = tokio::sync::mpsc::channel(1);
            let _ = requests.try_send(pb::LeaseKeepAliveRequest { id });
            let receiver = tokio_stream::wrappers::ReceiverStream::new(receiver);
            let mut answers = stub
                .lease_keep_alive(Request::new(receiver))
                .await?
                .into_inner();
            let answer = answers.message().await?;
            drop(requests);
            answer.ok_or_else(|| Status::unavailable("no answer"))
        };
        self.ask(asked).await.map(|answer| answer.ttl)
    }
}
