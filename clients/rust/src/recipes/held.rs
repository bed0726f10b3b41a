//! Entering a line of contenders, and holding what is at its head.
//!
//! A session has at most one place at a key, which is locked while it changes: by the contender
//! until it holds the key or has deleted it, and by the release of the key. So the deletion of one
//! attempt cannot hit the next one.

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::late;
use super::owner_events::{OwnerEvent, OwnerEvents, REVOKE};
use super::persist::{persist_in_time, persist_noting, persist_read, persist_txn};
use super::rwlock;
use super::turn::{self, Line};
use crate::Error;
use crate::api::{Compare, KeyValue, PutRequest, TxnResponse};
use crate::effect::Unsettled;
use crate::session::{Part, Place, Session};
use crate::txn;

/// A lock, permits, or a leadership that a session holds. It is held until it is released, or the
/// session ends. If it is dropped, it is released in the background.
#[derive(Debug)]
pub struct Held {
    session: Session,
    key: Bytes,
    token: i64,
    /// That of the place at the time.
    holding: Option<u64>,
    released: bool,
}

/// A contender with a key of its own. If it is dropped, the key is deleted in the background.
pub(super) struct Contender {
    session: Session,
    key: Bytes,
    /// The key's create and mod revision, or 0: not known.
    token: i64,
    changed: i64,
    place: Option<OwnedMutexGuard<Place>>,
    /// The put of the key, which goes on if the contender is dropped: a deletion beside it could be
    /// executed before it.
    putting: Option<JoinHandle<Option<Result<Put, Error>>>>,
}

/// A key that was put.
struct Put {
    created: i64,
    changed: i64,
}

/// The outcome of entering a line.
pub(super) enum Entered {
    /// The session holds the key already, and now once more.
    Again(Held),
    /// The session waits for its turn.
    Waiting(Contender),
}

impl Contender {
    /// Puts the session's key, or holds it once more.
    pub(super) async fn enter(
        session: &Session,
        key: Bytes,
        value: Bytes,
    ) -> Result<Entered, Error> {
        Self::enter_if(session, key, value, None).await
    }

    /// [`Contender::enter`], if a comparison is true.
    pub(super) async fn enter_if(
        session: &Session,
        key: Bytes,
        value: Bytes,
        compare: Option<Compare>,
    ) -> Result<Entered, Error> {
        let place = session.place(&key);
        let locked = async { Ok(place.lock_owned().await) };
        let place = session.until_ended(locked).await?;
        Self::enter_at(place, session, key, value, compare).await
    }

    /// [`Contender::enter_if`] if nobody else of the session waits at the key, or gives it back.
    pub(super) async fn try_enter_if(
        session: &Session,
        key: Bytes,
        value: Bytes,
        compare: Option<Compare>,
    ) -> Result<Option<Entered>, Error> {
        match session.place(&key).try_lock_owned() {
            Ok(place) => {
                let entered = Self::enter_at(place, session, key, value, compare).await;
                entered.map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    async fn enter_at(
        mut place: OwnedMutexGuard<Place>,
        session: &Session,
        key: Bytes,
        value: Bytes,
        compare: Option<Compare>,
    ) -> Result<Entered, Error> {
        if place.count > 0 {
            // Someone else may have deleted the key, and have it now.
            let request = txn::when(is_ours(session, &key, place.token), []);
            let read = persist_read(session.client(), &request);
            if session.until_ended(read).await?.succeeded {
                place.count += 1;
                return Ok(Entered::Again(Held::new(session, key, &place)));
            }
            place.count = 0;
        }
        if place.part.is_some() {
            // The writer's key is still there, for the reader.
            return Err(holds_another_part(&key));
        }
        let putting = put(session.clone(), key.clone(), value, compare);
        let mut contender = Self {
            session: session.clone(),
            key,
            token: 0,
            changed: 0,
            place: Some(place),
            putting: Some(session.client().spawn_farewell(putting)),
        };
        let entered = contender.entered().await?;
        (contender.token, contender.changed) = (entered.created, entered.changed);
        Ok(Entered::Waiting(contender))
    }

    /// Enters a line, and waits until the session is at its head.
    pub(super) async fn hold_in_turn(
        session: &Session,
        key: Bytes,
        compare: Option<Compare>,
        line: &Line,
    ) -> Result<Held, Error> {
        match Self::enter_if(session, key, Bytes::new(), compare).await? {
            Entered::Again(held) => Ok(held),
            Entered::Waiting(contender) => contender.wait(line).await,
        }
    }

    /// Holds the key if nobody is before the session, nor anyone else of the session at the key.
    pub(super) async fn try_hold(
        session: &Session,
        key: Bytes,
        compare: Option<Compare>,
        line: &Line,
    ) -> Result<Option<Held>, Error> {
        match Self::try_enter_if(session, key, Bytes::new(), compare).await? {
            None => Ok(None),
            Some(Entered::Again(held)) => Ok(Some(held)),
            Some(Entered::Waiting(contender)) => contender.hold_at_once(line).await,
        }
    }

    /// Waits for the put.
    async fn entered(&mut self) -> Result<Put, Error> {
        let putting = self.putting.as_mut().expect("it was just begun");
        let entered = putting.await;
        self.putting = None;
        entered
            .ok()
            .flatten()
            .unwrap_or(Err(Error::Closed("the client")))
    }

    pub(super) fn key(&self) -> &Bytes {
        &self.key
    }

    pub(super) fn token(&self) -> i64 {
        self.token
    }

    /// Waits until it is at the head of a line.
    pub(super) async fn wait(self, line: &Line) -> Result<Held, Error> {
        turn::wait(&self.session, &self.key, self.token, line).await?;
        Ok(self.hold())
    }

    /// Holds the key if it is at the head of a line, and deletes it if not.
    pub(super) async fn hold_at_once(self, line: &Line) -> Result<Option<Held>, Error> {
        let before = turn::before(&self.session, &self.key, self.token, line).await?;
        if before.is_none() {
            return Ok(Some(self.hold()));
        }
        self.withdraw().await?;
        Ok(None)
    }

    /// It is at the head.
    pub(super) fn hold(mut self) -> Held {
        let mut place = self.place.take().expect("taken once, here or in withdraw");
        (place.count, place.token, place.changed) = (1, self.token, self.changed);
        place.holding = Some(self.session.next_number());
        Held::new(&self.session, self.key.clone(), &place)
    }

    /// Holds the key, because the session holds the other one of a read-write lock.
    pub(super) fn hold_part(mut self, part: Part) -> Held {
        let place = self.place.as_mut().expect("not taken yet");
        place.part = Some(part);
        self.hold()
    }

    /// Deletes the key.
    pub(super) async fn withdraw(mut self) -> Result<(), Error> {
        delete(&self.session, &self.key, self.token, self.changed).await?;
        self.place = None;
        Ok(())
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        let (session, key) = (self.session.clone(), self.key.clone());
        let putting = self.putting.take();
        let (mut token, mut changed) = (self.token, self.changed);
        self.session.client().spawn_farewell(async move {
            if let Some(putting) = putting
                && let Ok(Some(Ok(entered))) = putting.await
            {
                (token, changed) = (entered.created, entered.changed);
            }
            // If it was not entered, there is no key, or only late copies. If the session ends, its
            // keys go with it.
            if token != 0 {
                let _ = delete(&session, &key, token, changed).await;
            }
            drop(place);
        });
    }
}

impl Held {
    fn new(session: &Session, key: Bytes, place: &Place) -> Self {
        Self {
            session: session.clone(),
            key,
            token: place.token,
            holding: place.holding,
            released: false,
        }
    }

    /// The key that exists while this is held.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The fencing token: the key's create revision, which grows with every owner.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// The session that holds it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// True unless the session is lost or closed. Looks at the clock, and asks no server: a write
    /// that must not happen without the lock needs its [`Held::guard`].
    pub fn is_held(&self) -> bool {
        self.session.is_alive()
    }

    /// A comparison that is true while this is held, for a transaction (K1). It stays true if
    /// another session replaces a member of a group or an instance of a service.
    pub fn guard(&self) -> Compare {
        txn::owner(self.key.clone(), self.token)
    }

    /// Events from now on: a loss, or a demand to release it.
    pub fn events(&self) -> OwnerEvents {
        OwnerEvents::new(self.session.clone(), self.key.clone(), self.token)
    }

    /// Returns when it is lost, or when its session is closed.
    pub async fn lost(&self) {
        let mut events = self.events();
        while let Some(event) = events.next().await {
            if event == OwnerEvent::Lost {
                return;
            }
        }
    }

    /// Changes the key's value, within the client's deadline.
    pub(super) async fn set(&self, value: Bytes) -> Result<(), Error> {
        let (session, key) = (&self.session, &self.key);
        let put = txn::put_leased(key.clone(), value.clone(), session.id());
        let until = Instant::now() + session.client().deadline();
        let unsettled = Unsettled::default();
        let place = session.place(key);
        let mut place = session
            .until_ended(async { Ok(place.lock().await) })
            .await?;
        if place.holding != self.holding {
            return Err(Error::SessionLost);
        }
        loop {
            let guards = is_unchanged(session, key, self.token, place.changed);
            let request = txn::when_else(guards, [put.clone()], [txn::get(key.clone())]);
            let setting = persist_in_time(session.client(), &request, until, &unsettled);
            let response = session.until_ended(setting).await?;
            if response.succeeded {
                place.changed = txn::revision(&response);
                return Ok(());
            }
            let own = own(response, session, self.token)?.ok_or(Error::SessionLost)?;
            place.changed = own.mod_revision;
            // An attempt that was executed without an answer.
            if own.value == value && unsettled.is_set() {
                return Ok(());
            }
        }
    }

    /// Releases it. What was locked several times is released as often. After an error the release
    /// goes on in the background.
    pub async fn release(mut self) -> Result<(), Error> {
        self.released = true;
        let release = release(self.session.clone(), self.key.clone(), self.holding);
        let client = self.session.client().clone();
        let releasing = client.spawn_farewell(release);
        let released = async {
            let released = releasing.await.ok().flatten();
            released.unwrap_or(Err(Error::Closed("the client")))
        };
        match super::within(client.deadline(), self.session.until_ended(released)).await {
            Err(Error::Deadline(_)) => {
                Err(Error::Maybe("the release goes on in the background".into()))
            }
            outcome => outcome,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.released {
            let release = release(self.session.clone(), self.key.clone(), self.holding);
            self.session.client().spawn_farewell(release);
        }
    }
}

/// Puts a contender's key.
///
/// Each attempt is guarded by the key's last change, so that one of them is executed, and a late
/// copy changes nothing while the key exists. Late copies after its deletion are deleted.
async fn put(
    session: Session,
    key: Bytes,
    value: Bytes,
    compare: Option<Compare>,
) -> Result<Put, Error> {
    let unsettled = Unsettled::default();
    let entered = put_once(&session, &key, value, compare, &unsettled).await;
    if unsettled.is_set() {
        late::delete_copies(&session, &key);
    }
    entered
}

async fn put_once(
    session: &Session,
    key: &Bytes,
    value: Bytes,
    compare: Option<Compare>,
    unsettled: &Unsettled,
) -> Result<Put, Error> {
    let mut put = PutRequest {
        key: key.clone(),
        value,
        lease: session.id(),
        ..Default::default()
    };
    let get = txn::get(key.clone());
    // The key's mod revision: there is none, as far as is known.
    let mut changed = 0;
    loop {
        let guards = [txn::unchanged(key.clone(), changed)].into_iter();
        let guards = guards.chain(compare.clone());
        let then = [txn::put_with(put.clone()), get.clone()];
        let request = txn::when_else(guards, then, [get.clone()]);
        let response = persist_noting(session, &request, unsettled).await?;
        let succeeded = response.succeeded;
        let [present] = txn::reads(response)?;
        match present.kvs.into_iter().next() {
            Some(own) if succeeded => {
                return Ok(Put {
                    created: own.create_revision,
                    changed: own.mod_revision,
                });
            }
            // It is put once more, even if it is the session's already: a deletion of it, by a
            // release that has failed, may yet be executed.
            Some(other) if other.mod_revision != changed => {
                changed = other.mod_revision;
                // The owner was asked to release it, before it knew that it had it.
                let is_asked = other.lease == session.id() && other.value == REVOKE;
                put.ignore_value = is_asked && put.value.is_empty();
            }
            None if changed != 0 => (changed, put.ignore_value) = (0, false),
            _ => return Err(holds_another_part(key)),
        }
    }
}

fn holds_another_part(key: &Bytes) -> Error {
    let key = key.escape_ascii();
    Error::Invalid(format!(
        "{key}: the session holds another part, and would wait for itself"
    ))
}

async fn release(session: Session, key: Bytes, holding: Option<u64>) -> Result<(), Error> {
    let place = session.place(&key);
    let mut place = place.lock().await;
    if place.holding != holding || place.count == 0 {
        // The key was lost, and the session has entered again, or tried to.
        return Ok(());
    }
    place.count -= 1;
    if place.count > 0 {
        return Ok(());
    }
    match place.part.clone() {
        None => delete(&session, &key, place.token, place.changed).await,
        Some(part) => rwlock::release(&session, &key, &mut place, part).await,
    }
}

/// Deletes a contender's key, which was `changed` last at this revision, as far as is known. One
/// that is gone already, or is someone's later key, stays.
pub(super) async fn delete(
    session: &Session,
    key: &Bytes,
    token: i64,
    changed: i64,
) -> Result<(), Error> {
    delete_if(session, key, token, changed, None).await?;
    Ok(())
}

/// [`delete`] if a comparison is true. Returns false if it is not.
pub(super) async fn delete_if(
    session: &Session,
    key: &Bytes,
    token: i64,
    mut changed: i64,
    compare: Option<Compare>,
) -> Result<bool, Error> {
    loop {
        let guards = is_unchanged(session, key, token, changed).into_iter();
        let guards = guards.chain(compare.clone());
        let request = txn::when_else(guards, [txn::delete(key.clone())], [txn::get(key.clone())]);
        let response = persist_txn(session, &request).await?;
        if response.succeeded {
            return Ok(true);
        }
        match own(response, session, token)? {
            Some(own) if own.mod_revision != changed => changed = own.mod_revision,
            present => return Ok(present.is_none()),
        }
    }
}

/// The comparisons that are true while a key is a session's. A session that replaces another one's
/// key keeps its create revision.
fn is_ours(session: &Session, key: &Bytes, token: i64) -> [Compare; 2] {
    let is_leased = txn::leased(key.clone(), session.id());
    [txn::owner(key.clone(), token), is_leased]
}

/// The comparisons that are true while a key is a session's, and as it was at its last change.
fn is_unchanged(session: &Session, key: &Bytes, token: i64, changed: i64) -> [Compare; 3] {
    let [is_owned, is_leased] = is_ours(session, key, token);
    [is_owned, is_leased, txn::unchanged(key.clone(), changed)]
}

/// The session's key that a refused transaction has read, unless it is gone or another one's.
pub(super) fn own(
    response: TxnResponse,
    session: &Session,
    token: i64,
) -> Result<Option<KeyValue>, Error> {
    let [present] = txn::reads(response)?;
    let mut present = present.kvs.into_iter();
    Ok(present.find(|kv| kv.create_revision == token && kv.lease == session.id()))
}
