//! Waiting for one key to be as it should.

use bytes::Bytes;

use super::persist::persist;
use crate::Error;
use crate::api::KeyValue;
use crate::client::Client;

/// Returns when `is_so` is true of the key, which is absent or has a value.
pub(super) async fn wait_until(
    client: &Client,
    key: &Bytes,
    is_so: impl Fn(Option<&KeyValue>) -> Result<bool, Error>,
) -> Result<(), Error> {
    client
        .until_closing(async {
            loop {
                let response = persist(|| client.range(key.clone())).await?;
                if is_so(response.kvs.first())? {
                    return Ok(());
                }
                let revision = response.header.map_or(0, |header| header.revision);
                let mut watch = client.watch(key.clone()).from(revision + 1).not_open();
                match watch.next().await {
                    // Any change is a reason to look again.
                    Ok(_) | Err(Error::Compacted { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        })
        .await
}
