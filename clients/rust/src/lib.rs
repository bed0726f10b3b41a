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
//! Writes are never retried. After a broken connection only the caller can know whether a second
//! attempt would do the write twice. The error says whether the write may have happened.

use std::time::Duration;

use conclave_proto::v3electionpb::election_client::ElectionClient;
use conclave_proto::v3lockpb::lock_client::LockClient;
use tonic::transport::{Channel, Endpoint};

pub mod election;
pub mod error;
mod keys;
pub mod kv;
pub mod lease;
pub mod lock;
pub mod watch;

pub use error::Error;
pub use keys::Keys;

/// The API's messages, as generated from its `.proto` files.
pub mod api {
    pub use conclave_proto::etcdserverpb::*;
    pub use conclave_proto::mvccpb::{Event, KeyValue, event::EventType};
    pub use conclave_proto::{v3electionpb, v3lockpb};
}

use api::cluster_client::ClusterClient;
use api::kv_client::KvClient;
use api::lease_client::LeaseClient;
use api::maintenance_client::MaintenanceClient;
use api::watch_client::WatchClient;

/// Time limit of a connection attempt, after which another endpoint is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of probes on an idle connection, so that a dead machine is detected without traffic.
/// etcd refuses clients that ping more often than every 5 s.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Time to wait for the answer to a probe.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a cluster. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Creates a client for the servers at `endpoints` (`http://host:port`). Requests are spread
    /// over the servers that answer. Connections are made when first needed, so this succeeds even
    /// if a server is down, and the first request reports the error.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if an endpoint is not a URL, or if the list is empty.
    pub async fn connect<I, E>(endpoints: I) -> Result<Self, Error>
    where
        I: IntoIterator<Item = E>,
        E: AsRef<str>,
    {
        let endpoints = endpoints
            .into_iter()
            .map(|url| endpoint(url.as_ref()))
            .collect::<Result<Vec<_>, Error>>()?;
        let channel = match endpoints.as_slice() {
            [] => return Err(Error::Endpoint("no endpoint was given".into())),
            [only] => only.connect_lazy(),
            _ => Channel::balance_list(endpoints.into_iter()),
        };
        Ok(Self { channel })
    }

    /// Returns the generated key-value stub, without a size limit on replies.
    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    /// Returns the generated lease stub.
    pub fn leases(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    /// Returns the generated maintenance stub.
    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    /// Returns the generated cluster stub.
    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    fn watches(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    fn locks(&self) -> LockClient<Channel> {
        LockClient::new(self.channel.clone())
    }

    fn elections(&self) -> ElectionClient<Channel> {
        ElectionClient::new(self.channel.clone())
    }
}

fn endpoint(url: &str) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| Error::Endpoint(format!("{url:?} is not a URL: {error}")))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT))
}
