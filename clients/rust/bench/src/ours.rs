//! Our client.

use conclave_client::recipes::{Held, Mutex};
use conclave_client::{Client, Keys, SESSION_TTL_SECONDS, Session};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::Result;
use crate::library::{Contender, Library};

#[derive(Clone)]
pub(crate) struct Ours(Client);

impl Ours {
    pub(crate) async fn connect(endpoint: &str) -> Result<Self> {
        Ok(Self(Client::connect([endpoint]).await?))
    }
}

impl Library for Ours {
    const NAME: &str = concat!("conclave-client ", env!("CARGO_PKG_VERSION"));
    type Contender = Ourselves;
    type Watching = JoinSet<Result<()>>;

    async fn put(&mut self, key: String, value: Vec<u8>) -> Result<()> {
        self.0.put(key, value).await?;
        Ok(())
    }

    async fn count(&self, prefix: &str) -> Result<i64> {
        Ok(self.0.range(Keys::prefix(prefix.to_owned())).await?.count)
    }

    async fn contender(&self, mutex: &str) -> Result<Ourselves> {
        let session = self.0.session(SESSION_TTL_SECONDS).await?;
        let mutex = Mutex::new(&session, mutex.to_owned());
        Ok(Ourselves {
            session,
            mutex,
            held: None,
        })
    }

    async fn watch(
        &mut self,
        keys: &[String],
        events: UnboundedSender<String>,
    ) -> Result<Self::Watching> {
        let mut watching = JoinSet::new();
        for key in keys {
            let mut watch = self.0.watch(key.clone()).open().await?;
            let events = events.clone();
            watching.spawn(async move {
                while let Some(batch) = watch.next().await? {
                    for event in batch.events {
                        let key = event.kv.ok_or("an event has a key")?.key;
                        events.send(String::from_utf8(key.to_vec())?)?;
                    }
                }
                Ok(())
            });
        }
        Ok(watching)
    }
}

pub(crate) struct Ourselves {
    session: Session,
    mutex: Mutex,
    held: Option<Held>,
}

impl Contender for Ourselves {
    async fn lock(&mut self) -> Result<()> {
        self.held = Some(self.mutex.lock().await?);
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        let held = self.held.take().ok_or("it is not locked")?;
        held.release().await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        self.session.close().await;
        Ok(())
    }
}
