//! Changing one key by what it was.

use bytes::Bytes;

use crate::Error;
use crate::api::KeyValue;
use crate::client::Client;
use crate::txn;

/// Replaces a value by what `change` makes of it, and again if someone else was first. `None`
/// leaves it. Returns the key as it was.
///
/// # Errors
/// [`Error::Maybe`] if the answer to a change was lost.
pub(super) async fn change(
    client: &Client,
    key: &Bytes,
    mut change: impl FnMut(Option<&KeyValue>) -> Result<Option<Bytes>, Error>,
) -> Result<Option<KeyValue>, Error> {
    loop {
        let present = client.get(key.clone()).await?;
        let Some(value) = change(present.as_ref())? else {
            return Ok(present);
        };
        let revision = present.as_ref().map_or(0, |kv| kv.mod_revision);
        let guard = txn::unchanged(key.clone(), revision);
        let put = txn::put(key.clone(), value);
        if client.txn(txn::when([guard], [put])).await?.succeeded {
            return Ok(present);
        }
    }
}

/// Reads a decimal number.
pub(super) fn number(kv: &KeyValue) -> Result<i64, Error> {
    let text = std::str::from_utf8(&kv.value).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let (key, value) = (kv.key.escape_ascii(), kv.value.escape_ascii());
        Error::Invalid(format!(
            "{key} has the value {value}, which is not a number"
        ))
    })
}
