//! K13: a group of members.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::cache::Cache;
use super::held::{Contender, Entered, Held};
use super::mutex::check_name;
use crate::Error;
use crate::client::Client;
use crate::keys::Keys;
use crate::session::Session;

/// A group: each member is a key with a value, which goes with the member's session.
///
/// ```
/// # use conclave_client::{Error, Session};
/// # async fn example(session: Session) -> Result<(), Error> {
/// use conclave_client::recipes::Group;
///
/// let group = Group::new(session.client(), "workers");
/// let membership = group.join(&session, "worker-1", "idle").await?;
/// println!("{} members", group.members().await?.len());
/// membership.leave().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    client: Client,
    name: Bytes,
}

/// A membership. If it is dropped, the member leaves in the background.
#[derive(Debug)]
pub struct Membership {
    held: Held,
}

impl Group {
    /// The group of this name.
    pub fn new(client: &Client, name: impl Into<Bytes>) -> Self {
        Self {
            client: client.clone(),
            name: name.into(),
        }
    }

    /// Joins the group. Replaces a member of this name: a process that has restarted joins before
    /// its former session has expired. The former member is then lost.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the session is this member already.
    pub async fn join(
        &self,
        session: &Session,
        member: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> Result<Membership, Error> {
        check_name(&self.name)?;
        check_name(member.as_ref())?;
        let key = self.key(member.as_ref());
        match Contender::enter(session, key, value.into()).await? {
            Entered::Again(_) => Err(Error::Invalid("the session is this member already".into())),
            Entered::Waiting(contender) => Ok(Membership {
                held: contender.hold(),
            }),
        }
    }

    /// The members and their values.
    pub async fn members(&self) -> Result<BTreeMap<Bytes, Bytes>, Error> {
        let prefix = self.key(b"");
        let response = self.client.range(Keys::prefix(prefix.clone())).await?;
        let members = response.kvs.into_iter();
        let members = members.map(|kv| (kv.key.slice(prefix.len()..), kv.value));
        Ok(members.collect())
    }

    /// Follows the members. The keys in the cache are `{group}/{member}`.
    pub async fn listen(&self) -> Result<Cache, Error> {
        Cache::open(&self.client, self.key(b"")).await
    }

    fn key(&self, member: &[u8]) -> Bytes {
        [&self.name, &b"/"[..], member].concat().into()
    }
}

impl Membership {
    /// The held key, with its session and events.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Changes the member's value.
    ///
    /// # Errors
    /// [`Error::SessionLost`] if it is no member any more.
    pub async fn set(&self, value: impl Into<Bytes>) -> Result<(), Error> {
        self.held.set(value.into()).await
    }

    /// Leaves the group.
    pub async fn leave(self) -> Result<(), Error> {
        self.held.release().await
    }
}
