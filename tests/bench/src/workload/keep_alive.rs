//! Lease keep-alives: each client has a stream and some leases, and renews them one after another.
//! The answer must name the lease and a TTL above zero (zero means that it has expired).
//!
//! The leases are not revoked: they expire some time after the run.

use conclave_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};

use crate::drive::Workload;
use crate::wire::{Duplex, Failure, Wire};
use crate::workload::grant::grant;
use crate::workload::path;

/// Keep-alives of `leases` leases per client, granted for `ttl_seconds`.
pub(crate) struct KeepAlive {
    pub(crate) leases: usize,
    pub(crate) ttl_seconds: i64,
}

/// A client, its stream and its leases.
pub(crate) struct Keeper {
    stream: Duplex,
    leases: Vec<i64>,
    /// Number of unanswered requests: one, plus those that timed out.
    owed: usize,
}

impl Workload for KeepAlive {
    type Client = Keeper;

    fn name(&self) -> String {
        "lease keep-alive".into()
    }

    async fn open(&self, wire: &Wire, _client: usize) -> Result<Keeper, Failure> {
        let mut method = wire.method(path::LEASE_GRANT)?;
        let mut leases = Vec::with_capacity(self.leases);
        for _ in 0..self.leases {
            leases.push(grant(&mut method, self.ttl_seconds).await?);
        }
        let Some(&first) = leases.first() else {
            return Err(Failure::new("a client needs a lease"));
        };
        let mut method = wire.method(path::LEASE_KEEP_ALIVE)?;
        let mut stream = method.open(&LeaseKeepAliveRequest { id: first }).await?;
        check(&stream.incoming.expect().await?, first)?;
        Ok(Keeper {
            stream,
            leases,
            owed: 0,
        })
    }

    async fn call(&self, client: &mut Keeper, number: u64) -> Result<(), Failure> {
        let id = client.leases[(number % client.leases.len() as u64) as usize];
        client.stream.outgoing.send(&LeaseKeepAliveRequest { id })?;
        client.owed += 1;
        loop {
            let answer = client.stream.incoming.expect().await?;
            client.owed -= 1;
            if client.owed == 0 {
                return check(&answer, id);
            }
        }
    }
}

fn check(answer: &LeaseKeepAliveResponse, id: i64) -> Result<(), Failure> {
    if answer.id != id {
        return Err(Failure::new(
            "check: a keep-alive was answered for another lease",
        ));
    }
    if answer.ttl <= 0 {
        return Err(Failure::new("check: a lease has expired"));
    }
    Ok(())
}
