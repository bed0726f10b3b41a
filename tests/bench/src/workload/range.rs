//! Ranges of neighbouring keys. The answer must have all of them, in order.

use conclave_proto::etcdserverpb::{RangeRequest, RangeResponse};

use crate::data::Keys;
use crate::drive::Workload;
use crate::wire::{Failure, Method, Wire};
use crate::workload::{path, revision};

/// Reads `length` keys that a `Put` with the same keys has written; the first is chosen so that all
/// exist.
pub(crate) struct Range {
    pub(crate) keys: Keys,
    pub(crate) length: u64,
    pub(crate) serializable: bool,
}

impl Workload for Range {
    type Client = Method;

    fn name(&self) -> String {
        let how = if self.serializable {
            "serializable"
        } else {
            "linearizable"
        };
        format!("range of {} {how}", self.length)
    }

    async fn open(&self, wire: &Wire, _client: usize) -> Result<Method, Failure> {
        if self.length == 0 || self.length > self.keys.space() {
            return Err(Failure::new(
                "a range must have at least one key, and at most all keys",
            ));
        }
        wire.method(path::RANGE)
    }

    async fn call(&self, client: &mut Method, number: u64) -> Result<(), Failure> {
        let first = self
            .keys
            .ordinal(number)
            .min(self.keys.space() - self.length);
        let request = RangeRequest {
            key: self.keys.key(first),
            range_end: self.keys.key(first + self.length),
            serializable: self.serializable,
            ..Default::default()
        };
        let answer: RangeResponse = client.call(&request).await?;
        revision(answer.header.as_ref())?;
        let whole = answer.kvs.len() as u64 == self.length
            && answer.kvs.first().is_some_and(|kv| kv.key == request.key)
            && answer.kvs.is_sorted_by(|a, b| a.key < b.key);
        if whole {
            Ok(())
        } else {
            Err(Failure::new("check: a range differs from what was put"))
        }
    }
}
