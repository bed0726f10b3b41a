//! K6: a candidate that stays.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::election::{Election, Leadership};
use crate::Error;
use crate::session::Session;

/// A candidate in an election, in the background: it leads when it is its turn, and stays until it
/// is dropped or its session ends.
///
/// ```
/// # use conclave_client::{Error, Session};
/// # async fn example(session: Session) -> Result<(), Error> {
/// use conclave_client::recipes::LeaderLatch;
///
/// let latch = LeaderLatch::start(&session, "scheduler", "10.0.0.1:80");
/// let leadership = latch.wait().await?;
/// assert!(latch.is_leader() && leadership.is_held());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LeaderLatch {
    leads: watch::Receiver<Result<Option<Arc<Leadership>>, Error>>,
    _stop: DropGuard,
}

impl LeaderLatch {
    /// Enters the election. Others see `value` as the leader's.
    pub fn start(session: &Session, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        let (leads, receiver) = watch::channel(Ok(None));
        let stop = CancellationToken::new();
        let election = Election::new(session, name);
        let (stopped, value) = (stop.clone(), value.into());
        session.client().spawn(async move {
            let staying = stay(&election, &value, &leads);
            let outcome = stopped.run_until_cancelled(staying).await;
            drop(leads.send_replace(Err(outcome.unwrap_or(Error::Closed("the latch")))));
        });
        Self {
            leads: receiver,
            _stop: stop.drop_guard(),
        }
    }

    /// True while the session leads. Looks at the clock.
    pub fn is_leader(&self) -> bool {
        let leads = self.leads.borrow();
        matches!(&*leads, Ok(Some(leadership)) if leadership.is_held())
    }

    /// Waits until the session leads.
    ///
    /// # Errors
    /// [`Error::SessionLost`] if the session was lost.
    pub async fn wait(&self) -> Result<Arc<Leadership>, Error> {
        let mut leads = self.leads.clone();
        let is_decided = |leads: &Result<Option<_>, Error>| !matches!(leads, Ok(None));
        let decided = leads.wait_for(is_decided).await;
        let decided = decided.map_err(|_| Error::Closed("the client"))?.clone();
        decided
            .transpose()
            .unwrap_or(Err(Error::Closed("the latch")))
    }
}

/// Campaigns again and again, until the session ends.
async fn stay(
    election: &Election,
    value: &Bytes,
    leads: &watch::Sender<Result<Option<Arc<Leadership>>, Error>>,
) -> Error {
    loop {
        let leadership = match election.campaign(value.clone()).await {
            Ok(leadership) => Arc::new(leadership),
            Err(error) => return error,
        };
        drop(leads.send_replace(Ok(Some(Arc::clone(&leadership)))));
        leadership.lost().await;
        drop(leads.send_replace(Ok(None)));
    }
}
