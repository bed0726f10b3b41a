//! Counts of all keys, without the keys. The answer must have the right number.

use conclave_proto::etcdserverpb::{RangeRequest, RangeResponse};

use crate::data::Keys;
use crate::drive::Workload;
use crate::wire::{Failure, Method, Wire};
use crate::workload::{path, revision};

/// Counts the keys that a `Put` with the same keys has written.
pub(crate) struct Count {
    pub(crate) keys: Keys,
}

impl Workload for Count {
    type Client = Method;

    fn name(&self) -> String {
        format!("count of {} linearizable", self.keys.space())
    }

    async fn open(&self, wire: &Wire, _client: usize) -> Result<Method, Failure> {
        wire.method(path::RANGE)
    }

    async fn call(&self, client: &mut Method, _number: u64) -> Result<(), Failure> {
        let space = self.keys.space();
        let request = RangeRequest {
            key: self.keys.key(0),
            range_end: self.keys.key(space),
            count_only: true,
            ..Default::default()
        };
        let answer: RangeResponse = client.call(&request).await?;
        revision(answer.header.as_ref())?;
        if answer.count == space as i64 {
            Ok(())
        } else {
            Err(Failure::new("check: a count differs from what was put"))
        }
    }
}
