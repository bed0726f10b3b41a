//! K5: a semaphore.

use std::collections::HashSet;

use bytes::Bytes;

use super::held::{Contender, Entered, Held};
use super::mutex::{check_name, join};
use super::persist::persist;
use super::turn::{gone, in_order};
use crate::Error;
use crate::api::{EventType, KeyValue};
use crate::keys::Keys;
use crate::session::Session;

/// A semaphore: the sessions whose keys are among the oldest `permits` below `{name}/` hold one
/// permit each. Fair. A session can hold several.
///
/// All must be created with the same number of permits, which is in the keys' values.
///
/// ```
/// # use conclave_client::{Error, Session};
/// # async fn example(session: Session) -> Result<(), Error> {
/// use conclave_client::recipes::Semaphore;
///
/// let permit = Semaphore::new(&session, "downloads", 3)?.acquire().await?;
/// permit.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    session: Session,
    name: Bytes,
    permits: usize,
}

/// The keys before one's own, and the revision at which they were there.
struct Before {
    keys: HashSet<Bytes>,
    revision: i64,
}

impl Semaphore {
    /// The semaphore of this name, whose permits a session takes.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are no permits.
    pub fn new(session: &Session, name: impl Into<Bytes>, permits: usize) -> Result<Self, Error> {
        match permits {
            0 => Err(Error::Invalid("a semaphore needs a permit".into())),
            _ => Ok(Self {
                session: session.clone(),
                name: name.into(),
                permits,
            }),
        }
    }

    /// Waits for a permit. Dropping the future gives it up.
    ///
    /// # Errors
    /// [`Error::Invalid`] if those who hold it have another number of permits.
    pub async fn acquire(&self) -> Result<Held, Error> {
        let contender = self.enter().await?;
        while let Some(before) = self.before(&contender).await? {
            let freed = self.freed(before);
            self.session.until_ended(Box::pin(freed)).await?;
        }
        Ok(contender.hold())
    }

    /// Returns `None` if all permits are taken.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Held>, Error> {
        let contender = self.enter().await?;
        if self.before(&contender).await?.is_none() {
            return Ok(Some(contender.hold()));
        }
        contender.withdraw().await?;
        Ok(None)
    }

    async fn enter(&self) -> Result<Contender, Error> {
        check_name(&self.name)?;
        let number = self.session.next_number();
        let key = join(&self.name, &format!("{}/{number}", self.session.in_hex()));
        let value = self.permits.to_string().into();
        match Contender::enter(&self.session, key, value).await? {
            Entered::Waiting(contender) => Ok(contender),
            Entered::Again(_) => unreachable!("the session gives each number once"),
        }
    }

    /// Returns the keys before a contender's, or `None` if it is among the first.
    async fn before(&self, contender: &Contender) -> Result<Option<Before>, Error> {
        let client = self.session.client();
        let prefix = join(&self.name, "");
        let read = persist(|| in_order(client, prefix.clone(), 0));
        let (found, revision) = self.session.until_ended(read).await?;
        let is_own = |kv: &KeyValue| kv.key == contender.key();
        let Some(index) = found.iter().position(is_own) else {
            return Err(gone());
        };
        let own = self.permits.to_string();
        let holders = found.iter().take(self.permits);
        if let Some(other) = holders.map(|kv| &kv.value).find(|value| *value != &own) {
            let other = other.escape_ascii();
            let text = format!("the semaphore has {other} permits, and not {own}");
            return Err(Error::Invalid(text));
        }
        if index < self.permits {
            return Ok(None);
        }
        let keys = found.into_iter().take(index).map(|kv| kv.key).collect();
        Ok(Some(Before { keys, revision }))
    }

    /// Returns when so many of those before have gone that the own key may be among the first.
    /// Permits come back in any order, so that no single key is worth waiting for.
    async fn freed(&self, mut before: Before) -> Result<(), Error> {
        let keys = Keys::prefix(join(&self.name, ""));
        let watch = self.session.client().watch(keys).deletions();
        let mut watch = watch.from(before.revision + 1).not_open();
        while before.keys.len() >= self.permits {
            let batch = match watch.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) | Err(Error::Compacted { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            for event in batch.events {
                if event.r#type() == EventType::Delete {
                    let kv = event.kv.unwrap_or_default();
                    before.keys.remove(&kv.key);
                }
            }
        }
        Ok(())
    }
}
