//! K6: elections.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::held::{Contender, Entered, Held};
use super::mutex::{check_name, join};
use super::persist::persist;
use super::turn::{Line, in_order};
use crate::Error;
use crate::api::{EventType, KeyValue};
use crate::client::Client;
use crate::session::Session;
use crate::watch::Watch;

/// An election: the session whose key is the oldest below `{name}/` leads.
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::Error> {
/// use conclave_client::recipes::Election;
///
/// let session = client.session(10).await?;
/// let leadership = Election::new(&session, "scheduler").campaign("10.0.0.1:80").await?;
/// leadership.proclaim("10.0.0.1:8080").await?;
/// leadership.resign().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    session: Session,
    name: Bytes,
}

/// A leader as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The value that the leader has proclaimed.
    pub value: Bytes,
    /// The fencing token of the leadership.
    pub token: i64,
    /// The leader's key.
    pub key: Bytes,
}

impl Election {
    /// The election of this name, with a session as a candidate.
    pub fn new(session: &Session, name: impl Into<Bytes>) -> Self {
        Self {
            session: session.clone(),
            name: name.into(),
        }
    }

    /// Waits until the session leads. Others see `value` as the leader's. Dropping the future
    /// withdraws the candidate.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the session leads already; [`Error::SessionLost`] as soon as the
    /// session is lost.
    pub async fn campaign(&self, value: impl Into<Bytes>) -> Result<Leadership, Error> {
        check_name(&self.name)?;
        let key = join(&self.name, &self.session.in_hex());
        match Contender::enter(&self.session, key, value.into()).await? {
            Entered::Again(_) => Err(Error::Invalid("the session leads already".into())),
            Entered::Waiting(contender) => {
                let line = Line::of(join(&self.name, ""));
                let held = contender.wait(&line).await?;
                Ok(Leadership { held })
            }
        }
    }

    /// Campaigns, runs `work` while the session leads, and resigns. If the leadership ends first,
    /// the work is dropped at its next await.
    ///
    /// # Errors
    /// Errors of [`Election::campaign`] and of the work; [`Error::SessionLost`] if the leadership
    /// ended before the work.
    pub async fn lead<T, F>(
        &self,
        value: impl Into<Bytes>,
        work: impl FnOnce(Arc<Leadership>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let leadership = Arc::new(self.campaign(value).await?);
        let outcome = tokio::select! {
            biased;
            () = leadership.lost() => return Err(Error::SessionLost),
            outcome = work(Arc::clone(&leadership)) => outcome,
        };
        // If the work has given it to someone, they resign.
        if let Some(leadership) = Arc::into_inner(leadership) {
            leadership.resign().await?;
        }
        outcome
    }

    /// Returns the present leader, if there is one.
    pub async fn leader(client: &Client, name: impl Into<Bytes>) -> Result<Option<Leader>, Error> {
        let (mut found, _) = in_order(client, join(&name.into(), ""), 1).await?;
        Ok(found.pop().map(Leader::from))
    }

    /// The values of the leader and of the candidates, in their order.
    pub async fn contenders(client: &Client, name: impl Into<Bytes>) -> Result<Vec<Bytes>, Error> {
        let (found, _) = in_order(client, join(&name.into(), ""), 0).await?;
        Ok(found.into_iter().map(|kv| kv.value).collect())
    }

    /// Observes an election: the present leader first, then every change.
    pub fn observe(client: &Client, name: impl Into<Bytes>) -> Observer {
        Observer {
            client: client.clone(),
            prefix: join(&name.into(), ""),
            watched: None,
            seen: (0, 0),
            ready: VecDeque::new(),
        }
    }
}

impl From<KeyValue> for Leader {
    fn from(kv: KeyValue) -> Self {
        Self {
            value: kv.value,
            token: kv.create_revision,
            key: kv.key,
        }
    }
}

/// A won election. If it is dropped, it is resigned in the background.
#[derive(Debug)]
pub struct Leadership {
    held: Held,
}

impl Leadership {
    /// The held key, with its token, guard and events.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// True unless the session is lost or closed. Looks at the clock.
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }

    /// Returns when the leadership is lost, or when its session is closed.
    pub async fn lost(&self) {
        self.held.lost().await;
    }

    /// Changes the value that others see, without a new election.
    ///
    /// # Errors
    /// [`Error::SessionLost`] if the session does not lead any more.
    pub async fn proclaim(&self, value: impl Into<Bytes>) -> Result<(), Error> {
        self.held.set(value.into()).await
    }

    /// Resigns, so that the next candidate leads.
    pub async fn resign(self) -> Result<(), Error> {
        self.held.release().await
    }
}

/// The leaders of an election, one after another. Leaders that come and go while nobody looks may
/// be left out.
#[derive(Debug)]
pub struct Observer {
    client: Client,
    prefix: Bytes,
    watched: Option<Watched>,
    /// The create and mod revision of the last leader that was returned. The next leader's key may
    /// be older than its last change.
    seen: (i64, i64),
    ready: VecDeque<Leader>,
}

#[derive(Debug)]
struct Watched {
    watch: Watch,
    /// The leader's key is watched; if not, the whole election is, for its first candidate.
    has_leader: bool,
}

impl Observer {
    /// Returns the next leader, or the present one's next value. Waits while there is none. Goes on
    /// over broken connections. Can be cancelled without losing a leader.
    pub async fn next(&mut self) -> Result<Leader, Error> {
        loop {
            if let Some(leader) = self.ready.pop_front() {
                return Ok(leader);
            }
            let Some(watched) = &mut self.watched else {
                self.look().await?;
                continue;
            };
            let batch = match watched.watch.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) | Err(Error::Compacted { .. }) => {
                    self.watched = None;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let has_leader = watched.has_leader;
            for event in batch.events {
                let is_put = event.r#type() == EventType::Put;
                match (has_leader, event.kv) {
                    (true, Some(kv)) if is_put => self.found(kv),
                    // The leader has gone, or the first candidate has come. What follows may be
                    // of a key that does not lead.
                    _ => {
                        self.watched = None;
                        break;
                    }
                }
            }
        }
    }

    /// Reads the present leader, and watches it from then on.
    async fn look(&mut self) -> Result<(), Error> {
        let (client, prefix) = (&self.client, &self.prefix);
        let read = persist(|| in_order(client, prefix.clone(), 1));
        let (mut found, revision) = client.until_closing(read).await?;
        let leader = found.pop();
        let keys = match &leader {
            Some(kv) => crate::keys::Keys::one(kv.key.clone()),
            None => crate::keys::Keys::prefix(prefix.clone()),
        };
        self.watched = Some(Watched {
            watch: client.watch(keys).from(revision + 1).not_open(),
            has_leader: leader.is_some(),
        });
        if let Some(kv) = leader {
            self.found(kv);
        }
        Ok(())
    }

    fn found(&mut self, kv: KeyValue) {
        let revisions = (kv.create_revision, kv.mod_revision);
        if revisions > self.seen {
            self.seen = revisions;
            self.ready.push_back(kv.into());
        }
    }
}
