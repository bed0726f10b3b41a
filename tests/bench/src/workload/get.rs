//! Gets of single keys. The answer must have the key, with a value of the expected size.

use conclave_proto::etcdserverpb::{RangeRequest, RangeResponse};

use crate::data::Keys;
use crate::drive::Workload;
use crate::wire::{Failure, Method, Wire};
use crate::workload::{path, revision};

/// Reads keys that a `Put` with the same keys has written.
pub(crate) struct Get {
    pub(crate) keys: Keys,
    pub(crate) value_size: usize,
    pub(crate) serializable: bool,
}

impl Workload for Get {
    type Client = Method;

    fn name(&self) -> String {
        let how = if self.serializable {
            "serializable"
        } else {
            "linearizable"
        };
        format!("get {how}")
    }

    async fn open(&self, wire: &Wire, _client: usize) -> Result<Method, Failure> {
        wire.method(path::RANGE)
    }

    async fn call(&self, client: &mut Method, number: u64) -> Result<(), Failure> {
        let key = self.keys.key(self.keys.ordinal(number));
        let serializable = self.serializable;
        let request = RangeRequest {
            key: key.clone(),
            serializable,
            ..Default::default()
        };
        let answer: RangeResponse = client.call(&request).await?;
        revision(answer.header.as_ref())?;
        match answer.kvs.as_slice() {
            [kv] if kv.key == key && kv.value.len() == self.value_size => Ok(()),
            [_] => Err(Failure::new(
                "check: a get was answered with another key or value",
            )),
            _ => Err(Failure::new("check: a get did not find its key")),
        }
    }
}
