//! K14: services and their addresses, as in etcd's `naming`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::cache::Cache;
use super::held::{Contender, Entered, Held};
use super::mutex::{check_name, join};
use crate::Error;
use crate::client::Client;
use crate::keys::Keys;
use crate::session::Session;

/// A service: each instance is a key with its address, which goes with the instance's session.
///
/// ```
/// # use conclave_client::{Error, Session};
/// # async fn example(session: Session) -> Result<(), Error> {
/// use conclave_client::recipes::Service;
///
/// let service = Service::new(session.client(), "billing");
/// let registered = service.register(&session, "10.0.0.1:80", None).await?;
/// for instance in service.instances().await? {
///     println!("{}", instance.address);
/// }
/// registered.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Service {
    client: Client,
    name: Bytes,
}

/// An instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Where it listens.
    pub address: String,
    /// Metadata of the instance.
    pub metadata: Value,
}

impl Service {
    /// The service of this name.
    pub fn new(client: &Client, name: impl Into<Bytes>) -> Self {
        Self {
            client: client.clone(),
            name: name.into(),
        }
    }

    /// Registers an address with a session, and what else there is to say of it. Replaces an
    /// instance of this address, which is then lost.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the session has registered the address already.
    pub async fn register(
        &self,
        session: &Session,
        address: &str,
        metadata: Option<Value>,
    ) -> Result<Held, Error> {
        check_name(&self.name)?;
        check_name(address.as_bytes())?;
        let value = json!({"Op": 0, "Addr": address, "Metadata": metadata});
        let key = join(&self.name, address);
        match Contender::enter(session, key, value.to_string().into()).await? {
            Entered::Again(_) => Err(Error::Invalid(format!("{address} is registered already"))),
            Entered::Waiting(contender) => Ok(contender.hold()),
        }
    }

    /// The instances, by address.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a key of the service is no instance's.
    pub async fn instances(&self) -> Result<Vec<Instance>, Error> {
        let keys = Keys::prefix(join(&self.name, ""));
        let response = self.client.range(keys).await?;
        let instances = response.kvs.iter();
        let instances = instances.map(|kv| Instance::read(&kv.key, &kv.value));
        let mut instances = instances.collect::<Result<Vec<_>, Error>>()?;
        instances.sort_by(|one, other| one.address.cmp(&other.address));
        Ok(instances)
    }

    /// Follows the instances. [`Instance::read`] reads the keys in the cache.
    pub async fn listen(&self) -> Result<Cache, Error> {
        Cache::open(&self.client, join(&self.name, "")).await
    }
}

impl Instance {
    /// Reads an instance's key and value.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the value has no address.
    pub fn read(key: &[u8], value: &[u8]) -> Result<Self, Error> {
        let bad = || {
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            Error::Invalid(format!("{key} is no instance of a service: {value}"))
        };
        let mut value: Value = serde_json::from_slice(value).map_err(|_| bad())?;
        let address = value["Addr"].as_str().ok_or_else(bad)?.to_owned();
        Ok(Self {
            address,
            metadata: value["Metadata"].take(),
        })
    }
}
