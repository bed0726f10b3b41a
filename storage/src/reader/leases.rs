//! Reads of leases.

use bytes::Bytes;
use conclave_proto::command::LeaseRecord;

use super::{ReadError, Reader};
use crate::engine::{Direction, Read};
use crate::fault::Fault;
use crate::ids::LeaseId;
use crate::layout;
use crate::mvcc::pending::{self, decode_lease};

impl Reader {
    /// Returns the lease with this id, if it exists.
    pub fn lease(&self, id: LeaseId) -> Result<Option<LeaseRecord>, Fault> {
        let row = self.engine().get(layout::LEASE, &layout::lease_key(id))?;
        row.map(|row| decode_lease(&row)).transpose()
    }

    /// Returns the keys attached to a lease, in order.
    pub fn lease_keys(&self, id: LeaseId) -> Result<Vec<Bytes>, ReadError> {
        self.under_meter(&*self.engine(), |read| pending::lease_keys(read, id))
    }

    /// Returns the keys attached to any lease.
    pub fn attached_keys(&self) -> Result<Vec<Bytes>, ReadError> {
        self.under_meter(&*self.engine(), |read| {
            let mut scan = read.scan(layout::LEASE_KEY, &[], None, Direction::Forward)?;
            let mut keys = Vec::new();
            while let Some((row, _)) = scan.next()? {
                keys.extend(layout::split_lease_key_key(row).map(|(_, key)| key));
            }
            Ok(keys)
        })
    }

    /// Returns all leases.
    pub fn leases(&self) -> Result<Vec<LeaseRecord>, ReadError> {
        self.under_meter(&*self.engine(), |read| leases(read, &[], usize::MAX))
    }

    /// Returns up to `max` leases after the lease `after`, in the order of the store: by id,
    /// negative ids last. A new leader reads all leases with it, in bounded pieces.
    pub fn leases_after(
        &self,
        after: Option<LeaseId>,
        max: usize,
    ) -> Result<Vec<LeaseRecord>, Fault> {
        let from = match after {
            None => Vec::new(),
            Some(id) => [&layout::lease_key(id)[..], &[0]].concat(),
        };
        leases(&*self.engine(), &from, max)
    }
}

fn leases(read: &dyn Read, from: &[u8], max: usize) -> Result<Vec<LeaseRecord>, Fault> {
    let mut scan = read.scan(layout::LEASE, from, None, Direction::Forward)?;
    let mut leases = Vec::new();
    while leases.len() < max
        && let Some((_, row)) = scan.next()?
    {
        leases.push(decode_lease(row)?);
    }
    Ok(leases)
}
