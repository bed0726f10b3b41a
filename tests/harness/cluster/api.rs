//! Stubs of each member, and short forms of the calls that most cluster tests make.

use bytes::Bytes;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3electionpb::election_client::ElectionClient;
use conclave_proto::v3lockpb::lock_client::LockClient;
use pb::cluster_client::ClusterClient;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::watch_client::WatchClient;
use tonic::Status;
use tonic::transport::Channel;

use super::{ANSWER, Cluster};
use crate::api::{self, revision_of};
use crate::{eventually, http1, within};

impl Cluster {
    /// The stub of KV.
    pub fn kv(&self, number: usize) -> KvClient<Channel> {
        KvClient::new(self.channel(number)).max_decoding_message_size(usize::MAX)
    }

    /// The stub of Watch.
    pub fn watches(&self, number: usize) -> WatchClient<Channel> {
        WatchClient::new(self.channel(number)).max_decoding_message_size(usize::MAX)
    }

    /// The stub of Lease.
    pub fn leases(&self, number: usize) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel(number))
    }

    /// The stub of Cluster.
    pub fn cluster(&self, number: usize) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel(number))
    }

    /// The stub of Maintenance.
    pub fn maintenance(&self, number: usize) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel(number))
    }

    /// The stub of Lock.
    pub fn locks(&self, number: usize) -> LockClient<Channel> {
        LockClient::new(self.channel(number))
    }

    /// The stub of Election.
    pub fn elections(&self, number: usize) -> ElectionClient<Channel> {
        ElectionClient::new(self.channel(number))
    }

    /// Attempts one put through a member; returns the revision.
    pub async fn try_put(
        &self,
        number: usize,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<i64, Status> {
        let reply = self
            .kv(number)
            .put(self.request(api::put(key, value)))
            .await?;
        Ok(revision_of(&reply.into_inner().header))
    }

    /// Puts a key through a member, retrying until it succeeds; returns the revision.
    pub async fn put(&self, number: usize, key: &str, value: &str) -> i64 {
        eventually(&format!("a put through member {number}"), || async {
            let put = self.try_put(number, key.to_owned(), value.to_owned());
            tokio::time::timeout(ANSWER, put).await.ok()?.ok()
        })
        .await
    }

    /// A linearizable read of one key through a member; the value as text.
    pub async fn get(&self, number: usize, key: &str) -> Result<Option<String>, Status> {
        let reply = self
            .kv(number)
            .range(self.request(api::get(key.to_owned())))
            .await?;
        Ok(api::values(&reply.into_inner().kvs).pop())
    }

    /// A serializable read of one key from a member; the value as text.
    pub async fn local(&self, number: usize, key: &str) -> Result<Option<String>, Status> {
        let request = pb::RangeRequest {
            serializable: true,
            ..api::get(key.to_owned())
        };
        let reply = self.kv(number).range(self.request(request)).await?;
        Ok(api::values(&reply.into_inner().kvs).pop())
    }

    /// The revision of a member's own state.
    pub async fn local_revision(&self, number: usize) -> Result<i64, Status> {
        let request = pb::RangeRequest {
            serializable: true,
            ..api::get("no such key")
        };
        let reply = self.kv(number).range(self.request(request)).await?;
        Ok(revision_of(&reply.into_inner().header))
    }

    /// The cluster's revision, by a linearizable read.
    pub async fn revision(&self, number: usize) -> Result<i64, Status> {
        let reply = self
            .kv(number)
            .range(self.request(api::get("no such key")))
            .await?;
        Ok(revision_of(&reply.into_inner().header))
    }

    /// The value of one of a member's metrics, selected by name and labels. A missing series counts
    /// as zero: etcd exports most of them only once they change.
    pub async fn metric(&self, number: usize, series: &str) -> f64 {
        let endpoint = self.endpoint(number);
        let address = endpoint.strip_prefix("http://").unwrap_or(endpoint);
        let answer = http1::get(address, "/metrics").await;
        answer.metric(series).unwrap_or_default()
    }

    /// Compares the hashes of all members' history up to the present revision. Returns the
    /// revision.
    pub async fn expect_same_history(&self) -> i64 {
        let numbers = self.alive();
        // Learners refuse a linearizable read.
        let revision = eventually("a linearizable read", || async {
            for &number in &numbers {
                if let Ok(Ok(read)) = tokio::time::timeout(ANSWER, self.revision(number)).await {
                    return Some(read);
                }
            }
            None
        })
        .await;
        let mut hashes = Vec::new();
        for number in numbers {
            eventually(&format!("member {number} to have {revision}"), || async {
                let own = self.local_revision(number).await.ok()?;
                (own >= revision).then_some(())
            })
            .await;
            let request = pb::HashKvRequest { revision };
            let mut stub = self.maintenance(number);
            let answer = match within("a hash", stub.hash_kv(self.request(request))).await {
                // A learner has the revision, but refuses to hash.
                Err(status) if status.message().ends_with("for learner") => continue,
                answer => answer.expect("a member hashes its history").into_inner(),
            };
            hashes.push((answer.hash, answer.compact_revision, number));
        }
        let same = hashes.windows(2).all(|two| two[0].0 == two[1].0);
        assert!(same, "at {revision}, (hash, compacted, member): {hashes:?}");
        revision
    }
}
