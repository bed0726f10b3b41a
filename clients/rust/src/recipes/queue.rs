//! K10: a queue, whose items are taken at least once.
//!
//! An item's key has what it is ordered by, `{priority}-{due}-{16 hex}`, and the same words below
//! `claims/` are the key of the one who has taken it. What is alike in priority and due time is
//! ordered by create revision, which only the store knows:
//!
//! ```text
//! items/00005-0000000000000-9f..   create revision 12: first
//! items/00005-0000000000000-03..   create revision 15
//! items/00005-1732886400000-77..   not before it is due
//! items/00009-0000000000000-51..   after all that are due with priority 5
//! ```

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::late;
use super::mutex::{check_name, join};
use super::persist::{persist, persist_noting, persist_txn};
use super::turn::in_order;
use crate::Error;
use crate::api::{EventType, KeyValue, RangeRequest};
use crate::client::Client;
use crate::effect::{Effect, Unsettled};
use crate::keys::Keys;
use crate::session::Session;
use crate::txn;

/// Priorities have five digits.
const PRIORITY_MAX: u32 = 99_999;

/// A queue: lower priorities first, then earlier due times, then older items. At least once: an
/// item whose taker loses its session is taken again.
///
/// ```
/// # use conclave_client::{Error, Session};
/// # async fn example(session: Session) -> Result<(), Error> {
/// use conclave_client::recipes::Queue;
///
/// let queue = Queue::new(session.client(), "mails");
/// queue.put("hello").await?;
/// let item = queue.take(&session).await?;
/// println!("{:?}", item.value());
/// item.ack().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    name: Bytes,
}

/// An item that a session has taken. If it is dropped, it is released in the background.
#[derive(Debug)]
pub struct Item {
    session: Session,
    value: Bytes,
    item: Bytes,
    claim: Bytes,
    token: i64,
    done: bool,
    /// The item is deleted, so that nobody can claim it any more.
    gone: CancellationToken,
}

/// The result of a look at the queue.
enum Found {
    Item(KeyValue),
    /// No item before that time, in milliseconds since 1970, if there is one then.
    Nothing {
        due: Option<u64>,
    },
}

/// The words of an item's key.
struct Order<'a> {
    priority: &'a str,
    due: u64,
    /// Priority and due time.
    group: &'a str,
}

impl Queue {
    /// The queue of this name.
    pub fn new(client: &Client, name: impl Into<Bytes>) -> Self {
        Self {
            client: client.clone(),
            name: name.into(),
        }
    }

    /// Puts an item with priority 0 that is due at once.
    pub async fn put(&self, value: impl Into<Bytes>) -> Result<(), Error> {
        self.put_with(value, 0, Duration::ZERO).await
    }

    /// Puts an item that is due after `delay`, by this machine's clock. Lower priorities are taken
    /// first.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the priority is above 99,999.
    pub async fn put_with(
        &self,
        value: impl Into<Bytes>,
        priority: u32,
        delay: Duration,
    ) -> Result<(), Error> {
        if priority > PRIORITY_MAX {
            return Err(Error::Invalid(format!(
                "the priority {priority} is above 99,999"
            )));
        }
        check_name(&self.name)?;
        let due = match delay.is_zero() {
            true => 0,
            false => now_ms() + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX / 2),
        };
        let number: u64 = rand::random();
        let key = join(
            &self.name,
            &format!("items/{priority:05}-{due:013}-{number:016x}"),
        );
        let put = txn::put(key.clone(), value);
        // A second attempt finds the key of the first.
        let request = txn::when([txn::absent(key)], [put]);
        self.client.txn_as(request, Effect::Repeatable).await?;
        Ok(())
    }

    /// Waits for an item, and takes it. Dropping the future gives it up.
    pub async fn take(&self, session: &Session) -> Result<Item, Error> {
        check_name(&self.name)?;
        loop {
            let claims = persist(|| self.claims());
            let (claims, revision) = session.until_ended(claims).await?;
            let looking = persist(|| self.look(&claims));
            let due = match session.until_ended(Box::pin(looking)).await? {
                Found::Item(kv) => {
                    // If this is given up, the claim is made all the same, and then released: a
                    // release beside it could be executed before it.
                    let claiming = self.clone().claim(session.clone(), kv);
                    let claiming = self.client.spawn_farewell(claiming).await;
                    let claimed = claiming.ok().flatten();
                    match claimed.unwrap_or(Err(Error::Closed("the client")))? {
                        Some(item) => return Ok(item),
                        None => continue,
                    }
                }
                Found::Nothing { due } => due,
            };
            let news = self.news(revision + 1);
            tokio::select! {
                news = session.until_ended(Box::pin(news)) => news?,
                () = until(due) => {}
            }
        }
    }

    /// The items that are taken, and the revision at which they were.
    async fn claims(&self) -> Result<(HashSet<Bytes>, i64), Error> {
        let prefix = join(&self.name, "claims/");
        let request = RangeRequest {
            keys_only: true,
            ..Keys::prefix(prefix.clone()).into_range()
        };
        let response = self.client.range_with(request).await?;
        let revision = response.header.map_or(0, |header| header.revision);
        let claims = response.kvs.into_iter();
        let claims = claims.map(|kv| kv.key.slice(prefix.len()..));
        Ok((claims.collect(), revision))
    }

    /// Returns the first item that is due and not taken.
    async fn look(&self, claims: &HashSet<Bytes>) -> Result<Found, Error> {
        let prefix = join(&self.name, "items/");
        let Keys { key, end } = Keys::prefix(prefix.clone());
        let (mut from, now, mut next_due) = (key, now_ms(), None);
        loop {
            let request = RangeRequest {
                limit: 1,
                keys_only: true,
                ..Keys::range(from.clone(), end.clone()).into_range()
            };
            let first = self.client.range_with(request).await?.kvs.pop();
            let Some(first) = first else {
                return Ok(Found::Nothing { due: next_due });
            };
            let Some(order) = Order::of(&first.key[prefix.len()..]) else {
                // Not an item.
                from = [&first.key, &b"\0"[..]].concat().into();
                continue;
            };
            if order.due > now {
                next_due = Some(next_due.map_or(order.due, |due: u64| due.min(order.due)));
                from = after(&self.name, order.priority);
                continue;
            }
            let group = join(&self.name, &format!("items/{}-", order.group));
            let limit = i64::try_from(claims.len()).unwrap_or(0) + 1;
            let (found, _) = in_order(&self.client, group, limit).await?;
            let is_free = |kv: &KeyValue| !claims.contains(&kv.key[prefix.len()..]);
            if let Some(item) = found.into_iter().find(is_free) {
                return Ok(Found::Item(item));
            }
            from = after(&self.name, order.group);
        }
    }

    /// Takes an item, unless someone else was first.
    async fn claim(self, session: Session, item: KeyValue) -> Result<Option<Item>, Error> {
        let rest = item.key.slice(join(&self.name, "items/").len()..);
        let claim: Bytes = [&self.name, &b"/claims/"[..], &rest].concat().into();
        let mark: u64 = rand::random();
        let mark: Bytes = format!("{mark:016x}").into();
        let request = txn::when_else(
            [
                txn::absent(claim.clone()),
                txn::owner(item.key.clone(), item.create_revision),
            ],
            [
                txn::put_leased(claim.clone(), mark.clone(), session.id()),
                txn::get(claim.clone()),
            ],
            [txn::get(claim.clone())],
        );
        let unsettled = Unsettled::default();
        let gone = CancellationToken::new();
        let claiming = persist_noting(&session, &request, &unsettled).await;
        let outcome = claiming.and_then(txn::reads);
        // An attempt that was executed without an answer has left the mark.
        let ours = outcome.map(|[present]| present.kvs.into_iter().find(|kv| kv.value == mark));
        if unsettled.is_set() {
            let made = ours.as_ref().ok().and_then(Option::as_ref);
            let token = made.map_or(0, |kv| kv.create_revision);
            late::delete_copies_of_claim(&session, &claim, mark, token, gone.clone());
        }
        Ok(ours?.map(|kv| Item {
            session,
            value: item.value,
            item: item.key,
            claim,
            token: kv.create_revision,
            done: false,
            gone,
        }))
    }

    /// Returns when an item was put, or a claim was freed.
    async fn news(&self, from: i64) -> Result<(), Error> {
        let keys = Keys::prefix(join(&self.name, ""));
        let mut watch = self.client.watch(keys).from(from).not_open();
        let items = join(&self.name, "items/");
        loop {
            let batch = match watch.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) | Err(Error::Compacted { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            let is_news = batch.events.into_iter().any(|event| {
                let is_put = event.r#type() == EventType::Put;
                let of_item = event.kv.is_some_and(|kv| kv.key.starts_with(&items));
                is_put == of_item
            });
            if is_news {
                return Ok(());
            }
        }
    }
}

impl<'a> Order<'a> {
    /// Reads the words of an item's key.
    fn of(rest: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(rest).ok()?;
        let (group, _) = text.rsplit_once('-')?;
        let (priority, due) = group.split_once('-')?;
        Some(Self {
            priority,
            due: due.parse().ok()?,
            group,
        })
    }
}

impl Item {
    /// The value that was put into the queue.
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// Deletes the item, which is done. Returns false if the session has lost it: then it was, or
    /// will be, taken again.
    pub async fn ack(mut self) -> Result<bool, Error> {
        let guard = txn::owner(self.claim.clone(), self.token);
        let deletes = [&self.item, &self.claim].map(|key| txn::delete(key.clone()));
        let acked = self
            .session
            .client()
            .txn(txn::when([guard], deletes))
            .await?;
        self.done = true;
        if acked.succeeded {
            self.gone.cancel();
        }
        Ok(acked.succeeded)
    }

    /// Gives the item back to the queue. Returns false if the session has lost it.
    pub async fn release(mut self) -> Result<bool, Error> {
        let guard = txn::owner(self.claim.clone(), self.token);
        let delete = txn::delete(self.claim.clone());
        let released = self
            .session
            .client()
            .txn(txn::when([guard], [delete]))
            .await?;
        self.done = true;
        Ok(released.succeeded)
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let session = self.session.clone();
        let guard = txn::owner(self.claim.clone(), self.token);
        let request = txn::when([guard], [txn::delete(self.claim.clone())]);
        self.session.client().spawn_farewell(async move {
            // If the session ends, its claims go with it.
            let _ = persist_txn(&session, &request).await;
        });
    }
}

/// The first key after all items that begin with these words and a hyphen.
fn after(name: &[u8], words: &str) -> Bytes {
    // The character after the hyphen.
    join(name, &format!("items/{words}."))
}

/// Returns at that time, or never.
async fn until(due: Option<u64>) {
    match due {
        Some(due) => sleep(Duration::from_millis(due.saturating_sub(now_ms()).max(1))).await,
        None => std::future::pending().await,
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_key_are_read() {
        let order = Order::of(b"00005-1732886400000-77aa").unwrap();
        assert_eq!((order.priority, order.due), ("00005", 1_732_886_400_000));
        assert_eq!(order.group, "00005-1732886400000");
        assert!(Order::of(b"other").is_none());
        let key = join(b"q", "items/00005-1732886400000-ffff");
        assert!(after(b"q", order.group) > key && after(b"q", order.priority) > key);
        assert!(after(b"q", "00005") < join(b"q", "items/00006-"));
    }
}
