//! Repeating a step of a recipe until it is done.

use tokio::time::{Instant, sleep, sleep_until};

use crate::Error;
use crate::api::{TxnRequest, TxnResponse};
use crate::backoff::Backoff;
use crate::client::Client;
use crate::effect::{Effect, Unsettled};
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
    persist_noting(session, request, &Unsettled::default()).await
}

/// [`persist_txn`], which sets `unsettled` if another attempt may be executed after it.
pub(super) async fn persist_noting(
    session: &Session,
    request: &TxnRequest,
    unsettled: &Unsettled,
) -> Result<TxnResponse, Error> {
    let client = session.client();
    let step = || client.txn_noting(request.clone(), Effect::Repeatable, unsettled);
    session.until_ended(persist(step)).await
}

/// Repeats a transaction for some time. An error says that it may have happened if any attempt may.
pub(super) async fn persist_in_time(
    client: &Client,
    request: &TxnRequest,
    until: Instant,
    unsettled: &Unsettled,
) -> Result<TxnResponse, Error> {
    let mut pauses = Backoff::of_calls();
    loop {
        let left = client.with_deadline(until.saturating_duration_since(Instant::now()));
        let attempt = left.txn_noting(request.clone(), Effect::Repeatable, unsettled);
        match attempt.await {
            Err(error) if error.is_retriable() && Instant::now() < until => {
                sleep_until(until.min(Instant::now() + pauses.next())).await;
            }
            Err(error) if unsettled.is_set() && !error.may_have_happened() => {
                return Err(Error::Maybe(error.to_string()));
            }
            outcome => return outcome,
        }
    }
}

/// Repeats a read.
pub(super) async fn persist_read(
    client: &Client,
    request: &TxnRequest,
) -> Result<TxnResponse, Error> {
    persist(|| client.txn_as(request.clone(), Effect::Read)).await
}
