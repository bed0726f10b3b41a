//! Reading leases.

use bytes::Bytes;
use conclave_proto::command::LeaseRecord;

use super::Reader;
use crate::engine::Direction;
use crate::fault::Fault;
use crate::ids::LeaseId;
use crate::layout;
use crate::mvcc::pending::{self, decode_lease};

impl Reader {
    /// A lease, if there is one with that id.
    pub fn lease(&self, id: LeaseId) -> Result<Option<LeaseRecord>, Fault> {
        let row = self.engine().get(layout::LEASE, &layout::lease_key(id))?;
        row.map(|row| decode_lease(&row)).transpose()
    }

    /// The keys attached to a lease, in order.
    pub fn lease_keys(&self, id: LeaseId) -> Result<Vec<Bytes>, Fault> {
        pending::lease_keys(&*self.engine(), id)
    }

    /// All leases.
    pub fn leases(&self) -> Result<Vec<LeaseRecord>, Fault> {
        self.leases_after(None, usize::MAX)
    }

    /// The next `max` leases after one, in the order of the store (by id, negative ones last): what
    /// a new leader reads them all with, a piece at a time.
    pub fn leases_after(
        &self,
        after: Option<LeaseId>,
        max: usize,
    ) -> Result<Vec<LeaseRecord>, Fault> {
        let from = match after {
            None => Vec::new(),
            Some(id) => [&layout::lease_key(id)[..], &[0]].concat(),
        };
        let engine = self.engine();
        let mut scan = engine.scan(layout::LEASE, &from, None, Direction::Forward)?;
        let mut leases = Vec::new();
        while leases.len() < max
            && let Some((_, row)) = scan.next()?
        {
            leases.push(decode_lease(row)?);
        }
        Ok(leases)
    }
}
