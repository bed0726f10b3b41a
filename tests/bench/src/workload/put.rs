//! Puts. The answer must carry the revision of the write.

use crate::data::{Keys, Values};
use crate::drive::Workload;
use crate::wire::{Failure, Method, Wire};
use crate::workload::{path, put_once};

/// Request `n` puts the `first + n`-th key.
pub(crate) struct Put {
    pub(crate) keys: Keys,
    pub(crate) values: Values,
    pub(crate) first: u64,
}

impl Workload for Put {
    type Client = Method;

    fn name(&self) -> String {
        "put".into()
    }

    async fn open(&self, wire: &Wire, _client: usize) -> Result<Method, Failure> {
        wire.method(path::PUT)
    }

    async fn call(&self, client: &mut Method, number: u64) -> Result<(), Failure> {
        let number = self.first + number;
        let key = self.keys.key(self.keys.ordinal(number));
        put_once(client, key, self.values.value(number))
            .await
            .map(drop)
    }
}
