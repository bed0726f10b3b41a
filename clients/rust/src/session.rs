//! Sessions: a lease that is kept alive, with a state that its users can watch.
//!
//! One task for each session keeps its lease alive, on one stream after another, and watches the
//! clock. The same task revokes the lease when the session is closed or dropped.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use conclave_proto::ApiError;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use crate::Error;
use crate::api::lease_client::LeaseClient;
use crate::api::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest};
use crate::backoff::Backoff;
use crate::calls::Served;
use crate::client::{Client, with_leader};
use crate::clock::Moment;
use crate::effect::{Effect, Sent};
use crate::keys::Keys;
use crate::session_state::{KEEP_ALIVES_PER_TTL, Lease, SessionState, SessionStates};
use crate::transport::Transport;

/// The TTL of a session for which nothing else is said, in seconds.
pub const SESSION_TTL_SECONDS: i64 = 10;

/// With so many places, those that nothing uses are looked for.
const PLACES_CHECKED: usize = 64;

impl Client {
    /// Opens a session with a TTL of at least this many seconds; the server may grant more. See
    /// [`SESSION_TTL_SECONDS`] for a good default.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the TTL is not positive.
    pub async fn session(&self, ttl_seconds: i64) -> Result<Session, Error> {
        if ttl_seconds <= 0 {
            return Err(Error::Invalid(format!(
                "a TTL of {ttl_seconds} s is not positive"
            )));
        }
        let request = LeaseGrantRequest {
            ttl: ttl_seconds,
            id: 0,
        };
        let mut granted = None;
        let mut sent = Moment::now();
        // Each attempt has its own time of sending, from which the lease's time counts.
        let until = sent + self.deadline();
        let mut pauses = Backoff::of_calls();
        while granted.is_none() {
            sent = Moment::now();
            let send =
                async |mut stub: LeaseClient<Transport>, request| stub.lease_grant(request).await;
            let left = self.with_deadline(until.left());
            match left.call(left.leases(), request, Effect::Write, send).await {
                Ok(answer) => granted = Some(answer),
                // A second lease is as good as the first, which nobody knows and which expires.
                Err(error) if error.is_retriable() && !until.left().is_zero() => {
                    sleep(pauses.next().min(until.left())).await;
                }
                Err(error) => return Err(error),
            }
        }
        let granted = granted.expect("the loop ends with a lease");
        Ok(Session::keep(
            self.clone(),
            granted.id,
            seconds(granted.ttl),
            sent,
        ))
    }
}

/// A lease that is kept alive. Cheap to clone. When the last clone and all handles that depend on
/// it are dropped, the lease is revoked; [`Session::close`] waits for that.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    lease: Arc<Lease>,
    places: Places,
    watched: Watched,
    next_number: AtomicU64,
    end: CancellationToken,
    _drop: DropGuard,
    revoked: CancellationToken,
}

/// By key, what the session has at it, or waits for. Locked by the one that is changing it.
type Places = Mutex<HashMap<Bytes, Arc<tokio::sync::Mutex<Place>>>>;

/// The keys that are watched for late copies of their puts.
pub(crate) type Watched = Arc<Mutex<HashSet<Bytes>>>;

/// A session's place at a key: how often it was locked, with which token.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// The key's create revision.
    pub(crate) token: i64,
    /// The key's mod revision, as far as is known.
    pub(crate) changed: i64,
    /// A number that tells one holding of the key from another: a key that was replaced and is
    /// entered again may have the same create revision.
    pub(crate) holding: Option<u64>,
    pub(crate) count: usize,
    /// Its part in a downgrade. The writer's key may then be there when its count is 0.
    pub(crate) part: Option<Part>,
}

/// A key's part in a read-write lock that its session holds for both reading and writing.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// It holds the lock for writing. The keys are those of all writers.
    Writer { everyone: Keys },
    /// It holds the lock for reading. The key is the session's for writing.
    Reader { writer: Bytes },
}

impl Session {
    fn keep(client: Client, id: i64, ttl: Duration, sent: Moment) -> Self {
        let lease = Lease::new(id, ttl, sent);
        let end = CancellationToken::new();
        let revoked = CancellationToken::new();
        let keeper = Keeper {
            client: client.clone(),
            lease: Arc::clone(&lease),
        };
        client.spawn_farewell(keeper.run(end.clone(), revoked.clone().drop_guard()));
        let shared = Shared {
            client,
            lease,
            places: Places::default(),
            watched: Watched::default(),
            next_number: AtomicU64::new(0),
            _drop: end.clone().drop_guard(),
            end,
            revoked,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The lease's id, for requests.
    pub fn id(&self) -> i64 {
        self.shared.lease.id
    }

    /// The time to live that the server granted.
    pub fn ttl(&self) -> Duration {
        self.shared.lease.ttl()
    }

    /// The client that opened the session.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// The present state, after a look at the clock. A closed session is lost.
    pub fn state(&self) -> SessionState {
        self.shared.lease.state()
    }

    /// True unless the session is lost or closed. Looks at the clock.
    pub fn is_alive(&self) -> bool {
        self.shared.lease.is_alive()
    }

    /// The changes of the state in order, the present state first.
    pub fn states(&self) -> SessionStates {
        self.shared.lease.states()
    }

    /// Returns when the session is lost: the server does not have the lease any more, or could not
    /// be reached for so long that it may not have it. The caller must then stop anything that the
    /// lease guards. Does not return if the session is closed.
    pub async fn lost(&self) {
        self.shared.lease.lost().await;
    }

    /// Closes the session: revokes its lease, so that all its keys go at once, for at most the
    /// client's deadline. If no server answers, the lease expires by itself. Can be called twice.
    pub async fn close(&self) {
        self.shared.lease.close();
        self.shared.end.cancel();
        self.shared.revoked.cancelled().await;
    }

    /// Runs until the session is lost or closed, or its client is.
    pub(crate) async fn until_ended<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if !self.is_alive() {
            return Err(self.shared.lease.ended().await);
        }
        let work = self.shared.client.until_closing(work);
        tokio::select! {
            biased;
            ended = self.shared.lease.ended() => Err(ended),
            outcome = work => outcome,
        }
    }

    /// The session's place at a key.
    pub(crate) fn place(&self, key: &Bytes) -> Arc<tokio::sync::Mutex<Place>> {
        let mut places = self
            .shared
            .places
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Places that nothing uses go, so that a session of many names does not grow.
        if places.len() >= PLACES_CHECKED {
            places.retain(|_, place| {
                let is_used = |place: &Place| place.count > 0 || place.part.is_some();
                place.try_lock().is_ok_and(|place| is_used(&place)) || Arc::strong_count(place) > 1
            });
        }
        Arc::clone(places.entry(key.clone()).or_default())
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.shared.watched
    }

    pub(crate) fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.shared.lease)
    }

    /// A number that the session gives once.
    pub(crate) fn next_number(&self) -> u64 {
        self.shared.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// The lease's id as it is written in keys.
    pub(crate) fn in_hex(&self) -> String {
        format!("{:x}", self.id())
    }
}

/// The task of a session.
struct Keeper {
    client: Client,
    lease: Arc<Lease>,
}

/// The end of a stream of keep-alives.
enum Streamed {
    /// The stream was refused, broke, or was not answered. The lease may still exist.
    Broken,
    /// The server answered that the lease does not exist.
    Gone,
}

impl Keeper {
    /// Keeps the lease until it is lost, or until the session ends and the lease is revoked.
    async fn run(self, end: CancellationToken, _revoked: DropGuard) {
        tokio::select! {
            // The first thing after a pause is to look at the clock (S3).
            biased;
            () = self.lease.watch_clock() => return,
            () = end.cancelled() => {}
            () = self.client.closing() => {}
            () = self.keep_alive() => {}
        }
        if self.lease.is_lost() {
            return;
        }
        self.lease.close();
        let request = LeaseRevokeRequest { id: self.lease.id };
        let send =
            async |mut stub: LeaseClient<Transport>, request| stub.lease_revoke(request).await;
        let (stub, effect) = (self.client.leases(), Effect::Repeatable);
        let revoking = self
            .client
            .call_while_closing(stub, request, effect, Sent::default(), send);
        // If no server answers, the lease expires by itself.
        let _ = revoking.await;
    }

    async fn keep_alive(&self) {
        let mut avoid = None;
        let mut pauses = Backoff::of_calls();
        loop {
            let mut confirmed = false;
            match self.stream(&mut avoid, &mut confirmed).await {
                Streamed::Gone => {
                    self.lease.lose();
                    return;
                }
                Streamed::Broken => self.lease.stream_broke(),
            }
            if confirmed {
                pauses = Backoff::of_calls();
            }
            sleep(pauses.next()).await;
        }
    }

    /// Keeps the lease alive on one stream.
    async fn stream(&self, avoid: &mut Option<Served>, confirmed: &mut bool) -> Streamed {
        let id = self.lease.id;
        let interval = self.lease.ttl() / KEEP_ALIVES_PER_TTL;
        let (requests, receiver) = mpsc::channel(1);
        let mut sent = Moment::now();
        if requests.try_send(LeaseKeepAliveRequest { id }).is_err() {
            return Streamed::Broken;
        }
        let mut request = with_leader(ReceiverStream::new(receiver));
        if let Some(served) = avoid.take() {
            request.extensions_mut().insert(served);
        }
        let mut leases = self.client.leases();
        let (_, mut answers, used) = match timeout(interval, leases.lease_keep_alive(request)).await
        {
            Ok(Ok(opened)) => opened.into_parts(),
            Ok(Err(status)) => return broken(&status),
            Err(_) => return Streamed::Broken,
        };
        *avoid = used.get().copied();
        loop {
            match timeout((sent + interval).left(), answers.message()).await {
                Ok(Ok(Some(answer))) if answer.ttl > 0 => {
                    self.lease.confirm(sent, seconds(answer.ttl));
                    *confirmed = true;
                }
                Ok(Ok(Some(_))) => return Streamed::Gone,
                Ok(Ok(None)) | Err(_) => return Streamed::Broken,
                Ok(Err(status)) => {
                    // The next stream has a new token, if it was for the token.
                    self.client.forget_refused(&used, status.message()).await;
                    return broken(&status);
                }
            }
            sleep((sent + interval).left()).await;
            sent = Moment::now();
            if requests.send(LeaseKeepAliveRequest { id }).await.is_err() {
                return Streamed::Broken;
            }
        }
    }
}

fn broken(status: &Status) -> Streamed {
    match ApiError::from_text(status.message()) {
        Some(ApiError::LeaseNotFound) => Streamed::Gone,
        _ => Streamed::Broken,
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(1).unsigned_abs())
}
