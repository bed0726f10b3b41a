//! K4: a fair lock for many readers or one writer.
//!
//! Another writer may be before the reader of a downgrade, and waits for the key of the session's
//! writer: `write/A`, `write/B`, `read/A`. So the reader need not wait, but A's writer must keep
//! its key until A's reader is released, or B would come in beside it.

use bytes::Bytes;

use super::held::{Contender, Entered, Held, delete, delete_if};
use super::mutex::{check_name, join};
use super::turn::{self, Line};
use crate::Error;
use crate::api::Compare;
use crate::keys::Keys;
use crate::session::{Part, Place, Session};
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
        check_name(&self.name)?;
        match Contender::enter(&self.session, self.key("read"), Bytes::new()).await? {
            Entered::Again(held) => Ok(held),
            Entered::Waiting(contender) => self.wait_to_read(contender).await,
        }
    }

    /// Returns `None` if a writer is before the session, or if the session still waits to read, or
    /// releases what it read with.
    pub async fn try_read(&self) -> Result<Option<Held>, Error> {
        check_name(&self.name)?;
        let entered =
            Contender::try_enter_if(&self.session, self.key("read"), Bytes::new(), None).await?;
        match entered {
            None => Ok(None),
            Some(Entered::Again(held)) => Ok(Some(held)),
            Some(Entered::Waiting(contender)) => {
                let writer = self.session.place(&self.key("write"));
                if let Ok(mut writer) = writer.try_lock()
                    && writer.count > 0
                {
                    return Ok(Some(self.downgrade(contender, &mut writer)));
                }
                contender.hold_at_once(&self.writers()).await
            }
        }
    }

    /// Waits until the session may write. Dropping the future gives it up.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the session holds the lock for reading. It does until
    /// [`Held::release`] has returned; what is dropped is released a moment later.
    pub async fn write(&self) -> Result<Held, Error> {
        check_name(&self.name)?;
        let (key, compare) = (self.key("write"), Some(self.reads_not()));
        Contender::hold_in_turn(&self.session, key, compare, &self.everyone()).await
    }

    /// Returns `None` if anyone is before the session, or if the session still waits to write, or
    /// releases what it wrote with.
    ///
    /// # Errors
    /// As [`RwLock::write`].
    pub async fn try_write(&self) -> Result<Option<Held>, Error> {
        check_name(&self.name)?;
        let (key, compare) = (self.key("write"), Some(self.reads_not()));
        Contender::try_hold(&self.session, key, compare, &self.everyone()).await
    }

    /// Waits for the writers before, or until the session itself writes.
    async fn wait_to_read(&self, contender: Contender) -> Result<Held, Error> {
        let writer = self.session.place(&self.key("write"));
        let writing = async {
            // It is locked as long as the session's writer waits.
            let writer = writer.lock().await;
            if writer.count > 0 {
                return writer;
            }
            drop(writer);
            // While the reader's key exists, the session cannot enter as a writer.
            std::future::pending().await
        };
        let line = self.writers();
        let (key, token) = (contender.key(), contender.token());
        tokio::select! {
            biased;
            mut writer = writing => Ok(self.downgrade(contender, &mut writer)),
            waited = turn::wait(&self.session, key, token, &line) => {
                waited?;
                Ok(contender.hold())
            }
        }
    }

    /// Holds the lock for reading, too.
    fn downgrade(&self, reader: Contender, writer: &mut Place) -> Held {
        let everyone = Keys::prefix(join(&self.name, "write/"));
        writer.part = Some(Part::Writer { everyone });
        reader.hold_part(Part::Reader {
            writer: self.key("write"),
        })
    }

    /// True while the session does not read. A reader cannot become a writer.
    fn reads_not(&self) -> Compare {
        txn::absent(self.key("read"))
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

/// Releases one of the two keys of a downgrade, which is held no more.
pub(super) async fn release(
    session: &Session,
    key: &Bytes,
    place: &mut Place,
    part: Part,
) -> Result<(), Error> {
    match part {
        Part::Writer { everyone } => {
            let is_last = txn::none_newer(everyone, place.token);
            let (token, changed) = (place.token, place.changed);
            if delete_if(session, key, token, changed, Some(is_last)).await? {
                place.part = None;
            }
            // If not, a writer waits, and the reader deletes the key.
        }
        Part::Reader { writer: other } => {
            // While the reader's key exists, no writer of the session can wait, with this locked.
            let writer = session.place(&other);
            let mut writer = writer.lock().await;
            delete(session, key, place.token, place.changed).await?;
            place.part = None;
            let has_left_key = writer.part.is_some() && writer.count == 0;
            if has_left_key {
                delete(session, &other, writer.token, writer.changed).await?;
            }
            writer.part = None;
        }
    }
    Ok(())
}
