//! K17: work that is done once by all together.

use bytes::Bytes;
use tokio::time::Instant;

use super::mutex::{Mutex, check_name, join};
use super::persist::{persist, persist_in_time};
use crate::Error;
use crate::effect::Unsettled;
use crate::session::Session;
use crate::txn;

/// Work that is done once: by whoever finds no result under a mutex. All get the same result.
///
/// ```
/// # use conclave_client::{Error, Session};
/// # async fn example(session: Session) -> Result<(), Error> {
/// use conclave_client::recipes::Once;
///
/// let done = Once::new(&session, "cluster-id").run(async || Ok("a new id".into())).await?;
/// println!("{:?}, by us: {}", done.result, done.ran);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Once {
    session: Session,
    name: Bytes,
}

/// The outcome of work that is done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The result of the one that ran.
    pub result: Bytes,
    /// True if that was this call.
    pub ran: bool,
}

impl Once {
    /// The work of this name.
    pub fn new(session: &Session, name: impl Into<Bytes>) -> Self {
        Self {
            session: session.clone(),
            name: name.into(),
        }
    }

    /// Returns the result, after running `work` if there is none.
    ///
    /// # Errors
    /// That of the work, after which the next one runs it; [`Error::SessionLost`] if the session
    /// was lost while the work ran, whose result is then not used; [`Error::Maybe`] if the result
    /// was sent and not answered within the client's deadline.
    pub async fn run<F>(&self, work: impl FnOnce() -> F) -> Result<Done, Error>
    where
        F: Future<Output = Result<Bytes, Error>>,
    {
        check_name(&self.name)?;
        if let Some(result) = self.result().await? {
            return Ok(Done { result, ran: false });
        }
        let mutex = Mutex::new(&self.session, join(&self.name, "lock"));
        let held = mutex.lock().await?;
        if let Some(result) = self.result().await? {
            held.release().await?;
            return Ok(Done { result, ran: false });
        }
        let result = work().await?;
        let key = join(&self.name, "done");
        let guards = [held.guard(), txn::absent(key.clone())];
        let put = txn::put(key.clone(), result.clone());
        let request = txn::when_else(guards, [put], [txn::get(key)]);
        // Whether the session is lost or not: the result goes with no session.
        let client = self.session.client();
        let until = Instant::now() + client.deadline();
        let response = persist_in_time(client, &request, until, &Unsettled::default()).await?;
        if response.succeeded {
            held.release().await?;
            return Ok(Done { result, ran: true });
        }
        // The result of an attempt that was executed, or of another one that had the mutex later.
        let [present] = txn::reads(response)?;
        let present = present.kvs.into_iter().next().map(|kv| kv.value);
        let stored = present.ok_or(Error::SessionLost)?;
        let ran = stored == result;
        Ok(Done {
            result: stored,
            ran,
        })
    }

    async fn result(&self) -> Result<Option<Bytes>, Error> {
        let client = self.session.client();
        let read = persist(|| client.get(join(&self.name, "done")));
        let found = self.session.until_ended(read).await?;
        Ok(found.map(|kv| kv.value))
    }
}
