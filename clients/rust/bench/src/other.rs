//! The crate `etcd-client`.

use etcd_client::{Client, GetOptions, KvClient, LockOptions, WatchOptions};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::Result;
use crate::library::{Contender, Library};

/// Longer than a measurement: these sessions need not be kept alive.
const LEASE_SECONDS: i64 = 600;

#[derive(Clone)]
pub(crate) struct EtcdClient {
    client: Client,
    kv: KvClient,
}

impl EtcdClient {
    pub(crate) async fn connect(endpoint: &str) -> Result<Self> {
        let client = Client::connect([endpoint], None).await?;
        let kv = client.kv_client();
        Ok(Self { client, kv })
    }
}

impl Library for EtcdClient {
    const NAME: &str = "etcd-client 0.21";
    type Contender = Locker;
    type Watching = Reader;

    async fn put(&mut self, key: String, value: Vec<u8>) -> Result<()> {
        self.kv.put(key, value, None).await?;
        Ok(())
    }

    async fn count(&self, prefix: &str) -> Result<i64> {
        let options = GetOptions::new().with_prefix();
        Ok(self.kv.clone().get(prefix, Some(options)).await?.count())
    }

    async fn contender(&self, mutex: &str) -> Result<Locker> {
        let mut client = self.client.clone();
        let lease = client.lease_grant(LEASE_SECONDS, None).await?.id();
        Ok(Locker {
            client,
            mutex: mutex.to_owned(),
            lease,
            key: Vec::new(),
        })
    }

    /// All on one stream, which costs this library the least.
    async fn watch(
        &mut self,
        keys: &[String],
        events: UnboundedSender<String>,
    ) -> Result<Self::Watching> {
        let options = WatchOptions::new();
        let (mut requests, mut answers) =
            self.client.watch(&*keys[0], Some(options)).await?.split();
        let (created, all_created) = tokio::sync::oneshot::channel();
        let mut missing = keys.len();
        let reader = tokio::spawn(async move {
            let mut created = Some(created);
            while let Some(answer) = answers.message().await? {
                missing -= usize::from(answer.created());
                if missing == 0
                    && let Some(created) = created.take()
                {
                    let _ = created.send(());
                }
                for event in answer.events() {
                    let key = event.kv().ok_or("an event has a key")?.key();
                    events.send(String::from_utf8(key.to_vec())?)?;
                }
            }
            Result::Ok(())
        });
        for key in &keys[1..] {
            requests.watch(&**key, None).await?;
        }
        all_created.await?;
        Ok(Reader(reader))
    }
}

/// Reads the stream until it is dropped.
pub(crate) struct Reader(JoinHandle<Result<()>>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) struct Locker {
    client: Client,
    mutex: String,
    lease: i64,
    key: Vec<u8>,
}

impl Contender for Locker {
    async fn lock(&mut self) -> Result<()> {
        let options = LockOptions::new().with_lease(self.lease);
        let answer = self.client.lock(&*self.mutex, Some(options)).await?;
        self.key = answer.key().to_vec();
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        self.client.unlock(&*self.key).await?;
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        self.client.lease_revoke(self.lease).await?;
        Ok(())
    }
}
