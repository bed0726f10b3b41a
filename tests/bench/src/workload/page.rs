//! All keys in pages at one revision, as a list of a user interface or of a controller reads them.
//! Each answer must have the next keys and the total count.

use bytes::Bytes;
use conclave_proto::etcdserverpb::{RangeRequest, RangeResponse};

use crate::data::Keys;
use crate::drive::Workload;
use crate::wire::{Failure, Method, Wire};
use crate::workload::{path, revision};

/// Reads the keys that a `Put` with the same keys has written. A request is a page of `length`
/// keys. Each client begins at a page of its own, and at the first one again after the last.
pub(crate) struct Page {
    pub(crate) keys: Keys,
    pub(crate) length: u64,
}

/// A client, its next key, and the revision of its pages (0 for the latest, before the first one).
pub(crate) struct Leafing {
    method: Method,
    next: u64,
    revision: i64,
}

impl Workload for Page {
    type Client = Leafing;

    fn name(&self) -> String {
        format!("pages of {} at one revision", self.length)
    }

    async fn open(&self, wire: &Wire, client: usize) -> Result<Leafing, Failure> {
        if self.length == 0 || self.length > self.keys.space() {
            return Err(Failure::new(
                "a page must have at least one key, and at most all keys",
            ));
        }
        let pages = self.keys.space() / self.length;
        Ok(Leafing {
            method: wire.method(path::RANGE)?,
            next: client as u64 % pages * self.length,
            revision: 0,
        })
    }

    async fn call(&self, client: &mut Leafing, _number: u64) -> Result<(), Failure> {
        let space = self.keys.space();
        let request = RangeRequest {
            key: self.keys.key(client.next),
            range_end: self.keys.key(space),
            limit: self.length as i64,
            revision: client.revision,
            ..Default::default()
        };
        let answer: RangeResponse = client.method.call(&request).await?;
        client.revision = client.revision.max(revision(answer.header.as_ref())?);
        let rest = space - client.next;
        let wanted = rest.min(self.length);
        let keys = (client.next..).map(|ordinal| self.keys.key(ordinal));
        let whole = answer.kvs.len() as u64 == wanted
            && answer
                .kvs
                .iter()
                .zip(keys)
                .all(|(kv, key): (_, Bytes)| kv.key == key)
            && answer.more == (rest > wanted)
            && answer.count == rest as i64;
        client.next = (client.next + wanted) % space;
        if whole {
            Ok(())
        } else {
            Err(Failure::new("check: a page differs from what was put"))
        }
    }
}
