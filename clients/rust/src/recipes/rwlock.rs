//! K4: a fair lock for many readers or one writer.

use bytes::Bytes;

use super::held::{Contender, Entered, Held};
use super::mutex::{check_name, join};
use super::turn::Line;
use crate::Error;
use crate::keys::Keys;
use crate::session::Session;
use crate::txn;

/// A read-write lock: a reader waits for the last writer before it, and a writer for the last key
/// of either kind before it. Fair.
///
/// A writer may lock for reading, too, and then release the write lock: a downgrade. A reader that
/// locks for writing would wait for itself, and gets an error.
///
/// ```
/// # use conclave_client::{Error, Session};
/// # async fn example(session: Session) -> Result<(), Error> {
/// use conclave_client::recipes::RwLock;
///
/// let lock = RwLock::new(&session, "config");
/// let writing = lock.write().await?;
/// let reading = lock.read().await?;
/// writing.release().await?;
/// # drop(reading);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RwLock {
    session: Session,
    name: Bytes,
}

impl RwLock {
    /// The lock of this name, to be taken by a session.
    pub fn new(session: &Session, name: impl Into<Bytes>) -> Self {
        Self {
            session: session.clone(),
            name: name.into(),
        }
    }

    /// Waits until the session may read. Dropping the future gives it up.
    pub async fn read(&self) -> Result<Held, Error> {
        match self.enter_reader().await? {
            Entered::Again(held) => Ok(held),
            Entered::Waiting(contender) => contender.wait(&self.writers()).await,
        }
    }

    /// Returns `None` if a writer is before the session.
    pub async fn try_read(&self) -> Result<Option<Held>, Error> {
        match self.enter_reader().await? {
            Entered::Again(held) => Ok(Some(held)),
            Entered::Waiting(contender) => contender.hold_at_once(&self.writers()).await,
        }
    }

    /// Waits until the session may write. Dropping the future gives it up.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the session holds the lock for reading.
    pub async fn write(&self) -> Result<Held, Error> {
        match self.enter_writer().await? {
            Entered::Again(held) => Ok(held),
            Entered::Waiting(contender) => contender.wait(&self.everyone()).await,
        }
    }

    /// Returns `None` if anyone is before the session.
    ///
    /// # Errors
    /// As [`RwLock::write`].
    pub async fn try_write(&self) -> Result<Option<Held>, Error> {
        match self.enter_writer().await? {
            Entered::Again(held) => Ok(Some(held)),
            Entered::Waiting(contender) => contender.hold_at_once(&self.everyone()).await,
        }
    }

    async fn enter_reader(&self) -> Result<Entered, Error> {
        check_name(&self.name)?;
        Contender::enter(&self.session, self.key("read"), Bytes::new()).await
    }

    async fn enter_writer(&self) -> Result<Entered, Error> {
        check_name(&self.name)?;
        let is_no_reader = txn::absent(self.key("read"));
        let key = self.key("write");
        Contender::enter_if(&self.session, key, Bytes::new(), Some(is_no_reader)).await
    }

    fn key(&self, kind: &str) -> Bytes {
        join(&self.name, &format!("{kind}/{}", self.session.in_hex()))
    }

    fn writers(&self) -> Line {
        Line {
            ranges: vec![Keys::prefix(join(&self.name, "write/"))],
            own: Some(self.key("write")),
        }
    }

    fn everyone(&self) -> Line {
        let kinds = ["read/", "write/"];
        let ranges = kinds.map(|kind| Keys::prefix(join(&self.name, kind)));
        Line {
            ranges: ranges.into(),
            // A downgrade that was begun after it does not come before it.
            own: None,
        }
    }
}
