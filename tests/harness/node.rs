//! One member to test, of any backend.

use std::net::IpAddr;

use bytes::Bytes;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::mvccpb::KeyValue;
use conclave_proto::v3electionpb::election_client::ElectionClient;
use conclave_proto::v3lockpb::lock_client::LockClient;
use pb::auth_client::AuthClient;
use pb::cluster_client::ClusterClient;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::watch_client::WatchClient;
use tonic::transport::{Channel, Endpoint};

use crate::{Etcd, Process, Server, api};

/// The environment variable that selects another server for the suite: `etcd` starts a real one for
/// each test.
pub const SERVER_VARIABLE: &str = "CONCLAVE_TEST_SERVER";

/// The kind of server to start for a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Conclave in this process.
    InProcess,
    /// The `conclave` binary.
    Process,
    /// A real etcd.
    Etcd,
}

impl Backend {
    /// Returns this backend, or the one that the environment selects instead.
    pub fn or_as_asked(self) -> Self {
        match std::env::var(SERVER_VARIABLE).as_deref() {
            Ok("etcd") => Self::Etcd,
            Ok(other) => panic!("{SERVER_VARIABLE} is {other:?}; it can be `etcd` or unset"),
            Err(_) => self,
        }
    }
}

/// A running member and a connection to it.
#[derive(Debug)]
pub struct Node {
    running: Running,
    channel: Channel,
}

#[derive(Debug)]
enum Running {
    Server(Server),
    Process(Process),
    Etcd(Etcd),
}

impl Node {
    /// Starts a new member.
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, &[]).await
    }

    /// Starts a new member with these flags (`--name=value`, the same for all backends).
    pub async fn start_with(backend: Backend, flags: &[&str]) -> Self {
        let running = match backend.or_as_asked() {
            Backend::InProcess => Running::Server(Server::start(flags).await),
            Backend::Process => Running::Process(Process::start(flags)),
            Backend::Etcd => Running::Etcd(Etcd::start(flags)),
        };
        let channel = connect(running.endpoint());
        Self { running, channel }
    }

    /// Returns true if this is a real etcd.
    pub fn is_etcd(&self) -> bool {
        matches!(self.running, Running::Etcd(_))
    }

    /// The client URL: `http://host:port`.
    pub fn endpoint(&self) -> &str {
        self.running.endpoint()
    }

    /// The client address: `host:port`.
    pub fn address(&self) -> &str {
        self.endpoint().trim_start_matches("http://")
    }

    /// The connection shared by the stubs below.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A new connection.
    pub fn another_channel(&self) -> Channel {
        connect(self.endpoint())
    }

    /// A new connection from this local address.
    pub fn channel_from(&self, address: IpAddr) -> Channel {
        endpoint(self.endpoint())
            .local_address(Some(address))
            .connect_lazy()
    }

    /// The stub of KV.
    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel()).max_decoding_message_size(usize::MAX)
    }

    /// The stub of Watch.
    pub fn watches(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel()).max_decoding_message_size(usize::MAX)
    }

    /// The stub of Lease.
    pub fn leases(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel())
    }

    /// The stub of Cluster.
    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel())
    }

    /// The stub of Maintenance.
    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel())
    }

    /// The stub of Auth.
    pub fn auth(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel())
    }

    /// The stub of Lock.
    pub fn locks(&self) -> LockClient<Channel> {
        LockClient::new(self.channel())
    }

    /// The stub of Election.
    pub fn elections(&self) -> ElectionClient<Channel> {
        ElectionClient::new(self.channel())
    }

    /// A client of our own library.
    pub async fn client(&self) -> conclave_client::Client {
        let client = conclave_client::Client::connect([self.endpoint()]).await;
        client.expect("the endpoint is a URL")
    }
}

/// Short forms of common calls. They panic if the server refuses.
impl Node {
    /// Sets a key; returns the revision.
    pub async fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> i64 {
        self.put_with(api::put(key, value)).await
    }

    /// Sets a key with options; returns the revision.
    pub async fn put_with(&self, request: pb::PutRequest) -> i64 {
        let response = self.kv().put(request).await.expect("a put");
        api::revision_of(&response.into_inner().header)
    }

    /// Removes a key; returns the revision.
    pub async fn delete(&self, key: impl Into<Bytes>) -> i64 {
        let response = self
            .kv()
            .delete_range(api::delete(key))
            .await
            .expect("a delete");
        api::revision_of(&response.into_inner().header)
    }

    /// Sends a range request.
    pub async fn range(&self, request: pb::RangeRequest) -> pb::RangeResponse {
        self.kv()
            .range(request)
            .await
            .expect("a range")
            .into_inner()
    }

    /// Reads one key.
    pub async fn get(&self, key: impl Into<Bytes>) -> Option<KeyValue> {
        self.range(api::get(key)).await.kvs.pop()
    }

    /// Reads the value of one key, as text.
    pub async fn value(&self, key: impl Into<Bytes>) -> Option<String> {
        self.get(key)
            .await
            .map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    }

    /// The current revision.
    pub async fn revision(&self) -> i64 {
        api::revision_of(&self.range(api::get("no such key")).await.header)
    }

    /// Sends a transaction.
    pub async fn txn(&self, request: pb::TxnRequest) -> pb::TxnResponse {
        self.kv().txn(request).await.expect("a txn").into_inner()
    }

    /// Compacts, and returns when the history is physically gone.
    pub async fn compact(&self, revision: i64) {
        let request = pb::CompactionRequest {
            revision,
            physical: true,
        };
        self.kv().compact(request).await.expect("a compaction");
    }

    /// Grants a lease; returns its TTL.
    pub async fn grant(&self, id: i64, ttl: i64) -> i64 {
        let request = pb::LeaseGrantRequest { id, ttl };
        self.leases()
            .lease_grant(request)
            .await
            .expect("a grant")
            .into_inner()
            .ttl
    }
}

impl Running {
    fn endpoint(&self) -> &str {
        match self {
            Self::Server(server) => server.endpoint(),
            Self::Process(process) => process.endpoint(),
            Self::Etcd(etcd) => etcd.endpoint(),
        }
    }
}

/// A connection that is established when first used.
pub fn connect(url: &str) -> Channel {
    endpoint(url).connect_lazy()
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::from_shared(url.to_owned())
        .expect("the harness makes valid URLs")
        .tcp_nodelay(true)
}
