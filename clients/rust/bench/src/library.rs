//! The interface between the workloads and a library.

use std::future::Future;

use tokio::sync::mpsc::UnboundedSender;

use crate::Result;

pub(crate) trait Library: Clone + Send + Sync + 'static {
    const NAME: &str;
    type Contender: Contender;
    /// Watches that are open until this is dropped.
    type Watching: Send;

    fn put(&mut self, key: String, value: Vec<u8>) -> impl Future<Output = Result<()>> + Send;

    /// Returns the number of keys with this prefix.
    fn count(&self, prefix: &str) -> impl Future<Output = Result<i64>> + Send;

    /// A contender of the mutex with a session of its own.
    fn contender(&self, mutex: &str) -> impl Future<Output = Result<Self::Contender>> + Send;

    /// Opens a watch of each key, and waits until the server has created all. The key of each event
    /// is sent to `events`.
    fn watch(
        &mut self,
        keys: &[String],
        events: UnboundedSender<String>,
    ) -> impl Future<Output = Result<Self::Watching>> + Send;
}

pub(crate) trait Contender: Send + 'static {
    fn lock(&mut self) -> impl Future<Output = Result<()>> + Send;
    fn unlock(&mut self) -> impl Future<Output = Result<()>> + Send;
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}
