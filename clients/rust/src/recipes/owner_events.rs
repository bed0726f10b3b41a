//! Notifications of an owner: of the loss of its key, and of demands to release it.

use bytes::Bytes;

use super::persist::persist;
use crate::Error;
use crate::api::EventType;
use crate::session::Session;
use crate::watch::Watch;

/// The value of an owner's key after someone has asked for it (K3).
pub(super) const REVOKE: &[u8] = b"revoke";

/// Something that happened to what a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerEvent {
    /// Someone asks the owner to release it. Nothing is taken by force.
    Revoke,
    /// It is not held any more: the session is lost, or the key was deleted or replaced by someone
    /// else.
    Lost,
}

/// The events of what a session holds.
#[derive(Debug)]
pub struct OwnerEvents {
    session: Session,
    key: Bytes,
    token: i64,
    watch: Option<Watch>,
    was_asked: bool,
    ended: bool,
}

impl OwnerEvents {
    pub(super) fn new(session: Session, key: Bytes, token: i64) -> Self {
        // From its creation on, so that nothing is missed.
        let watch = session.client().watch(key.clone()).from(token + 1);
        Self {
            session,
            key,
            token,
            watch: Some(watch.not_open()),
            was_asked: false,
            ended: false,
        }
    }

    /// Returns the next event, or `None` after [`OwnerEvent::Lost`], or when it was released or the
    /// session or client was closed.
    pub async fn next(&mut self) -> Option<OwnerEvent> {
        if self.ended {
            return None;
        }
        let session = self.session.clone();
        let outcome = session.until_ended(self.of_key()).await;
        let event = match outcome {
            Ok(event) => event,
            Err(Error::SessionLost) => Some(OwnerEvent::Lost),
            // Closed, or not permitted to watch: then only the session is to be watched.
            Err(Error::Closed(_)) => None,
            Err(_) => {
                session.lost().await;
                Some(OwnerEvent::Lost)
            }
        };
        self.ended = event != Some(OwnerEvent::Revoke);
        event
    }

    async fn of_key(&mut self) -> Result<Option<OwnerEvent>, Error> {
        loop {
            let Some(watch) = &mut self.watch else {
                if let Some(event) = self.look().await? {
                    return Ok(Some(event));
                }
                continue;
            };
            match watch.next().await {
                Ok(Some(batch)) => {
                    let mut is_asked = false;
                    for event in batch.events {
                        let kind = event.r#type();
                        let kv = event.kv.unwrap_or_default();
                        match kind {
                            EventType::Delete => return Ok(self.gone().await),
                            EventType::Put if kv.lease == self.session.id() => {
                                is_asked |= self.is_new_demand(&kv.value);
                            }
                            // It was replaced, or is of one that the session has replaced itself.
                            EventType::Put => self.watch = None,
                        }
                    }
                    if is_asked {
                        return Ok(Some(OwnerEvent::Revoke));
                    }
                }
                Ok(None) | Err(Error::Compacted { .. }) => self.watch = None,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the key, and watches it from then on.
    async fn look(&mut self) -> Result<Option<OwnerEvent>, Error> {
        let client = self.session.client();
        let response = persist(|| client.range(self.key.clone())).await?;
        let revision = response.header.map_or(0, |header| header.revision);
        let watch = client.watch(self.key.clone()).from(revision + 1);
        self.watch = Some(watch.not_open());
        match response.kvs.first() {
            Some(kv) if kv.create_revision == self.token && kv.lease == self.session.id() => {
                let asked = self.is_new_demand(&kv.value);
                Ok(asked.then_some(OwnerEvent::Revoke))
            }
            _ => Ok(self.gone().await),
        }
    }

    fn is_new_demand(&mut self, value: &[u8]) -> bool {
        let is_new = value == REVOKE && !self.was_asked;
        self.was_asked |= is_new;
        is_new
    }

    /// The key is gone: by a release of the session itself, or by someone else.
    async fn gone(&self) -> Option<OwnerEvent> {
        let place = self.session.place(&self.key);
        let place = place.lock().await;
        let is_ours = place.count > 0 && place.token == self.token;
        is_ours.then_some(OwnerEvent::Lost)
    }
}
