//! Elections: one leader among many candidates.

use bytes::Bytes;
use tonic::Streaming;

use crate::api::KeyValue;
use crate::api::v3electionpb::election_client::ElectionClient;
use crate::api::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ResignRequest,
};
use crate::lease::KeptLease;
use crate::{Client, Error, Transport};

type Elections = ElectionClient<Transport>;

impl Client {
    /// Waits until this candidate is elected in the election `name`. Other clients see `value` as
    /// the leader's value.
    pub async fn campaign(
        &self,
        name: impl Into<Bytes>,
        value: impl Into<Bytes>,
        lease: &KeptLease,
    ) -> Result<Leadership, Error> {
        let request = CampaignRequest {
            name: name.into(),
            lease: lease.id(),
            value: value.into(),
        };
        let send = |mut stub: Elections, request| async move { stub.campaign(request).await };
        let response = self
            .call(self.elections(), request, send)
            .await?
            .into_inner();
        let key = response
            .leader
            .ok_or(Error::Protocol("a campaign ended without a leader key"))?;
        Ok(Leadership {
            client: self.clone(),
            key,
        })
    }

    /// Returns the current leader's key and value, or the API's "no leader" error.
    pub async fn leader(&self, name: impl Into<Bytes>) -> Result<KeyValue, Error> {
        let request = LeaderRequest { name: name.into() };
        let send = |mut stub: Elections, request| async move { stub.leader(request).await };
        let response = self
            .call(self.elections(), request, send)
            .await?
            .into_inner();
        response.kv.ok_or(Error::Protocol("a leader without a key"))
    }

    /// Streams every leader from now on, and every value that a leader proclaims.
    pub async fn observe(
        &self,
        name: impl Into<Bytes>,
    ) -> Result<Streaming<LeaderResponse>, Error> {
        let request = LeaderRequest { name: name.into() };
        let send = |mut stub: Elections, request| async move { stub.observe(request).await };
        Ok(self
            .call(self.elections(), request, send)
            .await?
            .into_inner())
    }
}

/// A won election. The leadership lasts as long as its key, that is, as long as its lease.
#[derive(Debug)]
pub struct Leadership {
    client: Client,
    key: LeaderKey,
}

impl Leadership {
    /// The key that proves the leadership. Compare it in transactions that only the leader may do.
    pub fn key(&self) -> &LeaderKey {
        &self.key
    }

    /// Changes the leader's value that other clients see, without a new election.
    pub async fn proclaim(&self, value: impl Into<Bytes>) -> Result<(), Error> {
        let request = ProclaimRequest {
            leader: Some(self.key.clone()),
            value: value.into(),
        };
        let send = |mut stub: Elections, request| async move { stub.proclaim(request).await };
        self.client
            .call(self.client.elections(), request, send)
            .await?;
        Ok(())
    }

    /// Resigns, so that another candidate can be elected.
    pub async fn resign(self) -> Result<(), Error> {
        let request = ResignRequest {
            leader: Some(self.key.clone()),
        };
        let send = |mut stub: Elections, request| async move { stub.resign(request).await };
        self.client
            .call(self.client.elections(), request, send)
            .await?;
        Ok(())
    }
}
