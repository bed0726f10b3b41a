//! The client: its creation, its end, and how it makes a call.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::{Extensions, Request, Response, Status};

use crate::Error;
use crate::api::auth_client::AuthClient;
use crate::api::cluster_client::ClusterClient;
use crate::api::kv_client::KvClient;
use crate::api::lease_client::LeaseClient;
use crate::api::maintenance_client::MaintenanceClient;
use crate::api::v3electionpb::election_client::ElectionClient;
use crate::api::v3lockpb::lock_client::LockClient;
use crate::api::watch_client::WatchClient;
use crate::calls::Calls;
use crate::effect::{Effect, Sent};
use crate::login::Login;
use crate::options::{DEADLINE_MAX, Options};
use crate::rotation::Rotation;
use crate::tasks::Tasks;
use crate::transport::Transport;

/// The field of a stream that asks a member without a leader to end it.
const HAS_LEADER: &str = "hasleader";

/// A client of one cluster. Cheap to clone; clones share connections and the login. When the last
/// clone and all sessions are dropped, its connections close. [`Client::close`] waits for that.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    deadline: Duration,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    tasks: Tasks,
    /// Work that must be done before the connections go: revoking leases, deleting keys.
    farewells: TaskTracker,
    /// The user's calls end now.
    closing: CancellationToken,
    _stop: Stop,
}

/// Stops the tasks of a client that was dropped without being closed.
#[derive(Debug)]
struct Stop {
    tasks: Tasks,
    _closing: DropGuard,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl Options {
    /// Creates a client for the servers at `endpoints`, which are `http://host:port`,
    /// `https://host:port`, `unix:///path`, `unixs:///path`, or `host:port`, which is `https` if
    /// TLS files are set. Calls are spread over the servers. Connections are made when first
    /// needed, so this succeeds even if no server is there.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if an endpoint has another form, or the list is empty; [`Error::Tls`] if
    /// a file cannot be used.
    pub async fn connect<I, E>(self, endpoints: I) -> Result<Client, Error>
    where
        I: IntoIterator<Item = E>,
        E: AsRef<str>,
    {
        let tasks = Tasks::default();
        let rotation = Rotation::new(endpoints, self.security()?, &tasks)?;
        let calls = Calls::new(rotation, tasks.clone(), self.deadline);
        let login = self.user.map(|user| Login::new(user, calls.clone()));
        let closing = CancellationToken::new();
        let stop = Stop {
            tasks: tasks.clone(),
            _closing: closing.clone().drop_guard(),
        };
        let shared = Shared {
            transport: Transport::new(calls, login),
            tasks,
            farewells: TaskTracker::new(),
            closing,
            _stop: stop,
        };
        Ok(Client {
            shared: Arc::new(shared),
            deadline: self.deadline,
        })
    }
}

impl Client {
    /// Creates a client with plain connections and without a user: [`Options::connect`].
    ///
    /// # Errors
    /// As [`Options::connect`].
    pub async fn connect<I, E>(endpoints: I) -> Result<Self, Error>
    where
        I: IntoIterator<Item = E>,
        E: AsRef<str>,
    {
        Options::new().connect(endpoints).await
    }

    /// Creates a client as etcdctl's environment variables say: [`Options::from_env`].
    ///
    /// # Errors
    /// As [`Options::from_env`] and [`Options::connect`].
    pub async fn from_env() -> Result<Self, Error> {
        let (options, endpoints) = Options::from_env()?;
        options.connect(endpoints).await
    }

    /// Returns the same client with another deadline for its calls.
    ///
    /// ```
    /// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::Error> {
    /// let quick = client.with_deadline(std::time::Duration::from_millis(500));
    /// quick.put("a", "1").await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            deadline: deadline.min(DEADLINE_MAX),
        }
    }

    /// The deadline of a call.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Ends everything that the client began. Calls, watches and waiting recipes fail with
    /// [`Error::Closed`] at once. Sessions are closed first, for at most the client's deadline;
    /// then connections and background tasks end. Can be called twice.
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.closing.cancel();
        shared.farewells.close();
        // Leases that could not be revoked expire by themselves.
        let _ = timeout(self.deadline, shared.farewells.wait()).await;
        shared.tasks.stop();
        shared.tasks.ended().await;
    }

    /// Returns when the client is being closed.
    pub(crate) async fn closing(&self) {
        self.shared.closing.cancelled().await;
    }

    /// Runs a task until the client is closed.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.tasks.spawn(task);
    }

    /// Runs a task for which [`Client::close`] waits, and which must end soon after it began. Its
    /// calls go on while the client is closing.
    pub(crate) fn spawn_farewell<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let running = self.shared.farewells.track_future(task);
        self.shared.tasks.spawn(running)
    }

    /// Makes a call with a deadline.
    pub(crate) async fn call<S, M, R>(
        &self,
        stub: S,
        message: M,
        effect: Effect,
        send: impl AsyncFnOnce(S, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Error> {
        let sent = Sent::default();
        let calling = self.call_while_closing(stub, message, effect, sent.clone(), send);
        let outcome = self.until_closing(calling).await;
        outcome.map_err(|error| error.after(effect, &sent))
    }

    /// Makes a call that closing the client does not end. It keeps `sent` up to date.
    pub(crate) async fn call_while_closing<S, M, R>(
        &self,
        stub: S,
        message: M,
        effect: Effect,
        sent: Sent,
        send: impl AsyncFnOnce(S, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Error> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request.extensions_mut().insert(effect);
        request.extensions_mut().insert(sent);
        // Boxed, because the generated code's futures are large, and recipes nest them.
        match Box::pin(send(stub, request)).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(Error::of_call(status, effect)),
        }
    }

    /// Runs until the client is being closed.
    pub(crate) async fn until_closing<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.closing() => Err(Error::Closed("the client")),
            outcome = work => outcome,
        }
    }

    pub(crate) async fn forget_refused(&self, used: &Extensions, reason: &str) -> bool {
        self.shared.transport.forget_refused(used, reason).await
    }

    fn transport(&self) -> Transport {
        self.shared.transport.clone()
    }

    /// Returns the generated key-value stub, without a size limit on replies. Calls of the stubs
    /// have the client's endpoints, attempts and token. Their deadline is that of the request, or
    /// that of the [`Options`]; a transaction counts as a write.
    pub fn kv(&self) -> KvClient<Transport> {
        KvClient::new(self.transport()).max_decoding_message_size(usize::MAX)
    }

    /// Returns the generated lease stub.
    pub fn leases(&self) -> LeaseClient<Transport> {
        LeaseClient::new(self.transport())
    }

    /// Returns the generated maintenance stub.
    pub fn maintenance(&self) -> MaintenanceClient<Transport> {
        MaintenanceClient::new(self.transport()).max_decoding_message_size(usize::MAX)
    }

    /// Returns the generated cluster stub.
    pub fn cluster(&self) -> ClusterClient<Transport> {
        ClusterClient::new(self.transport())
    }

    /// Returns the generated auth stub.
    pub fn auth(&self) -> AuthClient<Transport> {
        AuthClient::new(self.transport())
    }

    /// Returns the generated watch stub, whose streams do not resume.
    pub fn watches(&self) -> WatchClient<Transport> {
        WatchClient::new(self.transport()).max_decoding_message_size(usize::MAX)
    }

    /// Returns the generated stub of the server's own locks.
    pub fn locks(&self) -> LockClient<Transport> {
        LockClient::new(self.transport())
    }

    /// Returns the generated stub of the server's own elections.
    pub fn elections(&self) -> ElectionClient<Transport> {
        ElectionClient::new(self.transport())
    }
}

/// A request of a stream that a member without a leader ends, or refuses.
pub(crate) fn with_leader<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    let value = tonic::metadata::MetadataValue::from_static("true");
    request.metadata_mut().insert(HAS_LEADER, value);
    request
}
