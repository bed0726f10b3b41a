//! K2, K3: a fair mutex with fencing tokens, whose owner can be asked to release it.

use bytes::Bytes;

use super::held::{Contender, Held};
use super::owner_events::REVOKE;
use super::turn::{Line, in_order};
use crate::Error;
use crate::api::PutRequest;
use crate::client::Client;
use crate::session::Session;
use crate::txn;

/// A mutex: the session whose key is the oldest below `{name}/` holds it. Fair. Nothing else may
/// have keys there: they would be owners that never go.
///
/// The same session can lock it again, and must release it as often.
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::Error> {
/// use conclave_client::recipes::Mutex;
///
/// let session = client.session(10).await?;
/// let held = Mutex::new(&session, "jobs/nightly").lock().await?;
/// println!("locked, token {}", held.token());
/// held.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Mutex {
    session: Session,
    name: Bytes,
}

impl Mutex {
    /// The mutex of this name, to be locked by a session.
    pub fn new(session: &Session, name: impl Into<Bytes>) -> Self {
        Self {
            session: session.clone(),
            name: name.into(),
        }
    }

    /// Waits until the session holds the mutex. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Error::SessionLost`] as soon as the session is lost.
    pub async fn lock(&self) -> Result<Held, Error> {
        Contender::hold_in_turn(&self.session, self.key()?, None, &self.line()).await
    }

    /// Returns `None` if another session holds the mutex, or if this one still waits for it or
    /// releases it.
    pub async fn try_lock(&self) -> Result<Option<Held>, Error> {
        Contender::try_hold(&self.session, self.key()?, None, &self.line()).await
    }

    fn key(&self) -> Result<Bytes, Error> {
        check_name(&self.name)?;
        Ok(join(&self.name, &self.session.in_hex()))
    }

    fn line(&self) -> Line {
        Line::of(join(&self.name, ""))
    }

    /// The keys of the owner and of those who wait, in their order.
    pub async fn contenders(client: &Client, name: impl Into<Bytes>) -> Result<Vec<Bytes>, Error> {
        let (found, _) = in_order(client, join(&name.into(), ""), 0).await?;
        Ok(found.into_iter().map(|kv| kv.key).collect())
    }

    /// Asks the owner to release the mutex, who is notified of it by [`Held::events`]. Returns
    /// false if there is no owner.
    pub async fn revoke(client: &Client, name: impl Into<Bytes>) -> Result<bool, Error> {
        let prefix = join(&name.into(), "");
        loop {
            let (mut found, _) = in_order(client, prefix.clone(), 1).await?;
            let Some(owner) = found.pop() else {
                return Ok(false);
            };
            let put = txn::put_with(PutRequest {
                key: owner.key.clone(),
                value: Bytes::from_static(REVOKE),
                ignore_lease: true,
                ..Default::default()
            });
            let guard = txn::owner(owner.key, owner.create_revision);
            // If it has another owner by now, that one is asked.
            if client.txn(txn::when([guard], [put])).await?.succeeded {
                return Ok(true);
            }
        }
    }
}

/// A recipe's name must not be empty: its keys would be below `/`, as those of everyone's.
pub(super) fn check_name(name: &[u8]) -> Result<(), Error> {
    match name.is_empty() {
        true => Err(Error::Invalid("the name is empty".into())),
        false => Ok(()),
    }
}

/// `{name}/{rest}`.
pub(super) fn join(name: &[u8], rest: &str) -> Bytes {
    [name, b"/", rest.as_bytes()].concat().into()
}
