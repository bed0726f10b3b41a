//! Recipes: what processes do together, over the store.
//!
//! Those that hold something have the session's lease in their keys, so what a lost session held is
//! free again. Each waits for exactly the key before its own. The keys are those of rules K2 to K17
//! of the clients' contract, so clients in all languages share them.
//!
//! Waiting has no deadline of its own. Dropping the future gives it up and deletes the waiter's
//! key; [`within`] does so after a time.

use std::time::Duration;

use tokio::time::timeout;

use crate::Error;

mod barrier;
mod cache;
mod cas;
mod counter;
mod discovery;
mod double_barrier;
mod election;
mod group;
mod held;
mod key_state;
mod latch;
mod late;
mod leader_latch;
mod mutex;
mod once;
mod owner_events;
mod persist;
mod queue;
mod rwlock;
mod semaphore;
mod stm;
mod turn;
mod value;

pub use barrier::Barrier;
pub use cache::{Cache, CacheChange, CacheChanges};
pub use counter::Counter;
pub use discovery::{Instance, Service};
pub use double_barrier::{DoubleBarrier, Inside};
pub use election::{Election, Leader, Leadership, Observer};
pub use group::{Group, Membership};
pub use held::Held;
pub use latch::Latch;
pub use leader_latch::LeaderLatch;
pub use mutex::Mutex;
pub use once::{Done, Once};
pub use owner_events::{OwnerEvent, OwnerEvents};
pub use queue::{Item, Queue};
pub use rwlock::RwLock;
pub use semaphore::Semaphore;
pub use stm::{Transaction, stm};
pub use value::{Listener, Value, Versioned};

/// Gives a recipe this much time.
///
/// ```
/// # use conclave_client::{Error, recipes::Mutex};
/// # async fn example(mutex: Mutex) -> Result<(), Error> {
/// use conclave_client::recipes::within;
///
/// let held = within(std::time::Duration::from_secs(3), mutex.lock()).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Deadline`] if the time is up. The recipe has then been given up.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Deadline(format!("gave up waiting after {limit:?}"))),
    }
}
