//! Waiting for the key before one's own to go, and for no other.

use bytes::Bytes;

use super::persist::persist_read;
use crate::Error;
use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::{EventType, KeyValue, RangeRequest};
use crate::client::Client;
use crate::keys::Keys;
use crate::session::Session;
use crate::txn;

/// The keys that a contender waits for.
#[derive(Debug)]
pub(super) struct Line {
    /// Where those are that it waits for.
    pub(super) ranges: Vec<Keys>,
    /// A key in these ranges that it does not wait for: another one of its own.
    pub(super) own: Option<Bytes>,
}

impl Line {
    /// Waits for all contenders below a prefix.
    pub(super) fn of(prefix: Bytes) -> Self {
        Self {
            ranges: vec![Keys::prefix(prefix)],
            own: None,
        }
    }
}

/// Returns when no key in the line is older than `token`.
pub(super) async fn wait(
    session: &Session,
    key: &Bytes,
    token: i64,
    line: &Line,
) -> Result<(), Error> {
    while let Some((before, revision)) = before(session, key, token, line).await? {
        let deleted = deleted(session.client(), before, revision + 1);
        session.until_ended(Box::pin(deleted)).await?;
    }
    Ok(())
}

/// The error of a contender whose key is gone, though its session is alive.
pub(super) const fn gone() -> Error {
    Error::Closed("the wait, whose key was deleted by someone else,")
}

/// Returns the key before `token` in the line, and the revision at which it was there.
pub(super) async fn before(
    session: &Session,
    key: &Bytes,
    token: i64,
    line: &Line,
) -> Result<Option<(Bytes, i64)>, Error> {
    let last = |keys: &Keys| {
        txn::range(RangeRequest {
            // One of them may be our own.
            limit: 2,
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Create.into(),
            max_create_revision: token - 1,
            keys_only: true,
            ..keys.clone().into_range()
        })
    };
    // What is its own is read at the same revision: a contender whose key is gone has no turn.
    let reads = line.ranges.iter().map(last);
    let request = txn::when([txn::owner(key.clone(), token)], reads);
    let response = session.until_ended(persist_read(session.client(), &request));
    let response = response.await?;
    if !response.succeeded {
        return Err(gone());
    }
    let revision = txn::revision(&response);
    let found = response.responses.into_iter().filter_map(|op| op.response);
    let found = found.flat_map(|read| match read {
        crate::api::response_op::Response::ResponseRange(read) => read.kvs,
        _ => Vec::new(),
    });
    let others = found.filter(|kv| line.own.as_ref() != Some(&kv.key));
    let last = others.max_by_key(|kv| kv.create_revision);
    Ok(last.map(|kv| (kv.key, revision)))
}

/// Returns when a key was deleted at `from` or later.
pub(super) async fn deleted(client: &Client, key: Bytes, from: i64) -> Result<(), Error> {
    let mut watch = client.watch(key).deletions().from(from).not_open();
    loop {
        match watch.next().await {
            // The key may have been deleted in the history that is gone. The caller looks again.
            Ok(None) | Err(Error::Compacted { .. }) => return Ok(()),
            Ok(Some(batch)) => {
                let is_delete = |event: &crate::api::Event| event.r#type() == EventType::Delete;
                if batch.events.iter().any(is_delete) {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The keys below a prefix in the order in which they were created.
pub(super) async fn in_order(
    client: &Client,
    prefix: Bytes,
    limit: i64,
) -> Result<(Vec<KeyValue>, i64), Error> {
    let request = RangeRequest {
        limit,
        sort_order: SortOrder::Ascend.into(),
        sort_target: SortTarget::Create.into(),
        ..Keys::prefix(prefix).into_range()
    };
    let response = client.range_with(request).await?;
    let revision = response.header.map_or(0, |header| header.revision);
    Ok((response.kvs, revision))
}
