//! An asynchronous client for Conclave, and for any server with etcd's v3 API.
//!
//! ```no_run
//! # async fn tour() -> Result<(), conclave_client::Error> {
//! use conclave_client::{Client, Keys};
//!
//! let client = Client::connect(["http://127.0.0.1:2379"]).await?;
//! client.put("config/color", "green").await?;
//! let color = client.get("config/color").await?.expect("just written");
//! assert_eq!(&color.value[..], b"green");
//!
//! let mut watch = client.watch(Keys::prefix("config/")).from(color.mod_revision).open().await?;
//! while let Some(batch) = watch.next().await? {
//!     println!("revision {}: {} events", batch.revision, batch.events.len());
//! }
//! # Ok(()) }
//! ```
//!
//! The client is thin: requests and replies are the API's own messages ([`api`]), and it adds only
//! what every user would have to write. A [`watch::Watch`] resumes after a broken connection at the
//! revision where it was. A [`lease::KeptLease`] renews itself and reports when it is lost. A
//! [`lock::Lock`] and an [`election::Leadership`] have the key that proves ownership, so that a
//! transaction can be guarded by it.
//!
//! Writes are never retried, with one exception. After a broken connection only the caller can know
//! whether a second attempt would do the write twice. The error says whether the write may have
//! happened. The exception is a call that a server refused for its token: it was not executed.
//!
//! # TLS and users
//!
//! ```no_run
//! # async fn tour(password: &str) -> Result<(), conclave_client::Error> {
//! use conclave_client::{Options, TlsFiles};
//!
//! let tls = TlsFiles::trusting("ca.pem").presenting("client.pem", "client.key");
//! let client = Options::new()
//!     .tls(tls)
//!     .user("alice", password)
//!     .connect(["https://127.0.0.1:2379"])
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! The certificate files are read for every new connection. With a user the client logs in before
//! its first call, and again when a server has refused its token: because the token has expired,
//! the server was restarted, or users and roles have changed since the login (with JSON Web
//! Tokens). All calls share one login, and a call that was refused for its token is sent once more,
//! or twice if users and roles change at that moment. Watches and leases go on in the same way.

use std::future::Future;

use conclave_proto::v3electionpb::election_client::ElectionClient;
use conclave_proto::v3lockpb::lock_client::LockClient;
use tonic::{Extensions, Response, Status};

mod connections;
pub mod election;
pub mod error;
mod keys;
pub mod kv;
pub mod lease;
pub mod lock;
mod session;
mod tls;
mod transport;
pub mod watch;

pub use error::Error;
pub use keys::Keys;
pub use session::User;
pub use tls::TlsFiles;
pub use transport::Transport;

use connections::Connections;
use session::{Session, is_refused_token};
use tls::Tls;

/// The API's messages, as generated from its `.proto` files.
pub mod api {
    pub use conclave_proto::etcdserverpb::*;
    pub use conclave_proto::mvccpb::{Event, KeyValue, event::EventType};
    pub use conclave_proto::{v3electionpb, v3lockpb};
}

use api::auth_client::AuthClient;
use api::cluster_client::ClusterClient;
use api::kv_client::KvClient;
use api::lease_client::LeaseClient;
use api::maintenance_client::MaintenanceClient;
use api::watch_client::WatchClient;

/// How often a call is sent again that was refused for its token. Users and roles may change
/// between a login and the next call; if they do so all the time, the caller gets the error.
const REPEATS_MAX: usize = 2;

/// How to connect to a cluster.
#[derive(Debug, Default)]
pub struct Options {
    tls: Option<TlsFiles>,
    user: Option<User>,
}

impl Options {
    /// Plain connections, without a user.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses TLS for endpoints that begin with `https://`.
    #[must_use]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Logs in with this user and password.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        let (name, password) = (name.into(), password.into());
        self.user = Some(User { name, password });
        self
    }

    /// Creates a client for the servers at `endpoints`: `http://host:port`, `https://host:port`, or
    /// `unix:///path` of a socket. Requests are spread over the servers. Connections are made when
    /// first needed, so this succeeds even if a server is down, and the first request reports the
    /// error.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if an endpoint is not a URL, or if the list is empty; [`Error::Tls`] if
    /// a file cannot be used.
    pub async fn connect<I, E>(self, endpoints: I) -> Result<Client, Error>
    where
        I: IntoIterator<Item = E>,
        E: AsRef<str>,
    {
        let tls = self.tls.map(Tls::open).transpose()?;
        let connections = Connections::new(endpoints, tls)?;
        let user = self.user;
        let session = user.map(|user| Session::new(user, connections.clone()));
        Ok(Client {
            transport: Transport::new(connections, session),
        })
    }
}

/// A connection to a cluster. Cheap to clone; clones share the connection and the login.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
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

    /// Sends a call; sends it again if it was refused for its token, which the transport has
    /// forgotten by then.
    pub(crate) async fn call<S, M, R, F>(
        &self,
        stub: S,
        message: M,
        send: impl Fn(S, M) -> F,
    ) -> Result<Response<R>, Error>
    where
        S: Clone,
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let repeats = if self.transport.logs_in() {
            REPEATS_MAX
        } else {
            0
        };
        for _ in 0..repeats {
            match send(stub.clone(), message.clone()).await {
                Err(status) if is_refused_token(status.message()) => {}
                answer => return Ok(answer?),
            }
        }
        Ok(send(stub, message).await?)
    }

    async fn forget_refused(&self, used: &Extensions, reason: &str) -> bool {
        self.transport.forget_refused(used, reason).await
    }

    /// Returns the generated key-value stub, without a size limit on replies. Calls of the stubs
    /// have the client's token, but are not sent again when it was refused; the next call logs in.
    pub fn kv(&self) -> KvClient<Transport> {
        KvClient::new(self.transport.clone()).max_decoding_message_size(usize::MAX)
    }

    /// Returns the generated lease stub.
    pub fn leases(&self) -> LeaseClient<Transport> {
        LeaseClient::new(self.transport.clone())
    }

    /// Returns the generated maintenance stub.
    pub fn maintenance(&self) -> MaintenanceClient<Transport> {
        MaintenanceClient::new(self.transport.clone())
    }

    /// Returns the generated cluster stub.
    pub fn cluster(&self) -> ClusterClient<Transport> {
        ClusterClient::new(self.transport.clone())
    }

    /// Returns the generated auth stub.
    pub fn auth(&self) -> AuthClient<Transport> {
        AuthClient::new(self.transport.clone())
    }

    fn watches(&self) -> WatchClient<Transport> {
        WatchClient::new(self.transport.clone()).max_decoding_message_size(usize::MAX)
    }

    fn locks(&self) -> LockClient<Transport> {
        LockClient::new(self.transport.clone())
    }

    fn elections(&self) -> ElectionClient<Transport> {
        ElectionClient::new(self.transport.clone())
    }
}
