//! Repeating a step of a recipe until it is done.

use tokio::time::sleep;

use crate::Error;
use crate::api::{TxnRequest, TxnResponse};
use crate::backoff::Backoff;
use crate::client::Client;
use crate::effect::Effect;
use crate::session::Session;

/// Repeats a step that has the same outcome however often it is done, while another attempt can
/// succeed.
pub(super) async fn persist<T, F>(mut step: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pauses = Backoff::of_calls();
    loop {
        match step().await {
            Err(error) if error.is_retriable() => sleep(pauses.next()).await,
            outcome => return outcome,
        }
    }
}

/// Repeats a transaction until it is executed, or the session ends.
pub(super) async fn persist_txn(
    session: &Session,
    request: &TxnRequest,
) -> Result<TxnResponse, Error> {
    session
        .until_ended(persist(|| {
            session.client().txn_as(request.clone(), Effect::Repeatable)
        }))
        .await
}

/// Repeats a read.
pub(super) async fn persist_read(
    client: &Client,
    request: &TxnRequest,
) -> Result<TxnResponse, Error> {
    persist(|| client.txn_as(request.clone(), Effect::Read)).await
}
