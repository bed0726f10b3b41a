//! K8: a double barrier, at which a group begins and ends together.
//!
//! The last one that enters writes `{name}/ready`, whose *mod* revision is then greater than those
//! of all keys that entered: a `ready` of an earlier round is older than the waiters of this one,
//! so it lets nobody in.

use bytes::Bytes;

use super::held::{Contender, Entered, Held, own};
use super::key_state::wait_until;
use super::mutex::{check_name, join};
use super::persist::{persist, persist_read, persist_txn};
use super::turn::{self, deleted, in_order};
use crate::Error;
use crate::api::RangeRequest;
use crate::keys::Keys;
use crate::session::Session;
use crate::txn;

/// A double barrier for `count` sessions.
///
/// ```
/// # use conclave_client::{Error, Session};
/// # async fn example(session: Session) -> Result<(), Error> {
/// use conclave_client::recipes::DoubleBarrier;
///
/// let entered = DoubleBarrier::new(&session, "batch", 3)?.enter().await?;
/// // All three have entered.
/// entered.leave().await?;
/// // All three have left.
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DoubleBarrier {
    session: Session,
    name: Bytes,
    count: usize,
}

/// A place inside of a double barrier. If it is dropped, the session leaves in the background.
#[derive(Debug)]
pub struct Inside {
    held: Held,
    barrier: DoubleBarrier,
}

impl DoubleBarrier {
    /// The double barrier of this name, which a session enters.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `count` is 0.
    pub fn new(session: &Session, name: impl Into<Bytes>, count: usize) -> Result<Self, Error> {
        match count {
            0 => Err(Error::Invalid("a double barrier is for one or more".into())),
            _ => Ok(Self {
                session: session.clone(),
                name: name.into(),
                count,
            }),
        }
    }

    /// Waits until as many have entered as the barrier is for. Dropping the future leaves.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the session is inside already.
    pub async fn enter(&self) -> Result<Inside, Error> {
        check_name(&self.name)?;
        let hex = self.session.in_hex();
        let key = join(&self.name, &format!("waiters/{hex}"));
        let entered = Contender::enter(&self.session, key, Bytes::new()).await?;
        let Entered::Waiting(contender) = entered else {
            return Err(Error::Invalid("the session has entered already".into()));
        };
        let client = self.session.client();
        let count = txn::range(RangeRequest {
            count_only: true,
            ..Keys::prefix(self.waiters()).into_range()
        });
        let ready = self.ready();
        let counting = txn::when([], [count, txn::get(ready.clone())]);
        let counting = self.session.until_ended(persist_read(client, &counting));
        let [waiters, last] = txn::reads(counting.await?)?;
        if usize::try_from(waiters.count).is_ok_and(|waiters| waiters >= self.count) {
            // An attempt that is executed late must not let in the next round.
            let last = last.kvs.first().map_or(0, |kv| kv.mod_revision);
            let (key, token) = (contender.key().clone(), contender.token());
            let guards = [
                txn::unchanged(ready.clone(), last),
                txn::owner(key.clone(), token),
            ];
            let put = txn::when_else(guards, [txn::put(ready, "")], [txn::get(key)]);
            let put = persist_txn(&self.session, &put).await?;
            // Another one may have let in all.
            if !put.succeeded && own(put, &self.session, token)?.is_none() {
                return Err(turn::gone());
            }
        } else {
            let entered = contender.token();
            let is_ready = wait_until(client, &ready, |kv| {
                Ok(kv.is_some_and(|kv| kv.mod_revision > entered))
            });
            self.session.until_ended(Box::pin(is_ready)).await?;
        }
        Ok(Inside {
            held: contender.hold(),
            barrier: self.clone(),
        })
    }

    fn waiters(&self) -> Bytes {
        join(&self.name, "waiters/")
    }

    fn ready(&self) -> Bytes {
        join(&self.name, "ready")
    }
}

impl Inside {
    /// The held key, with its session.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Leaves, and waits until all have left.
    pub async fn leave(self) -> Result<(), Error> {
        let Self { held, barrier } = self;
        let (session, entered) = (&barrier.session, held.token());
        held.release().await?;
        let client = session.client();
        loop {
            let read = persist(|| in_order(client, barrier.waiters(), 1));
            let (found, revision) = session.until_ended(read).await?;
            // A later key is of the next round.
            let Some(other) = found.into_iter().next() else {
                break;
            };
            let ready = persist(|| client.get(barrier.ready()));
            let ready = session.until_ended(ready).await?;
            let last_ready = ready.map_or(entered, |kv| kv.mod_revision);
            if other.create_revision > last_ready {
                break;
            }
            let gone = deleted(client, other.key, revision + 1);
            session.until_ended(Box::pin(gone)).await?;
        }
        barrier.tidy(entered).await
    }
}

impl DoubleBarrier {
    /// Deletes what lets in, unless a next round has written it.
    async fn tidy(&self, entered: i64) -> Result<(), Error> {
        let read = persist(|| self.session.client().get(self.ready()));
        let present = self.session.until_ended(read).await?;
        let Some(ready) = present.filter(|kv| kv.mod_revision > entered) else {
            return Ok(());
        };
        let is_ours = txn::unchanged(self.ready(), ready.mod_revision);
        let nobody = txn::none_below(self.waiters());
        let delete = txn::when([is_ours, nobody], [txn::delete(self.ready())]);
        persist_txn(&self.session, &delete).await?;
        Ok(())
    }
}
