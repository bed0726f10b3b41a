//! Hashes passwords with bcrypt, slowly by design, without delaying other clients.
//!
//! A hash of cost 10 takes about 50 ms of processor time, so 500 logins per second would occupy 25
//! cores. All hashes are computed one at a time, by one thread of low priority: they take at most
//! one core, and give it up when a thread that serves clients wants it. A bounded queue leads to
//! this thread. A request that finds the queue full is refused with [`PasswordError::Busy`] at
//! once; the client can try again, or ask another member.
//!
//! Checks of the same password against the same hash share one computation, if they are in the
//! queue at the same time. So when thousands of clients of one user log in again after a restart,
//! all of them are served within one hash.
//!
//! # Compatibility with etcd
//!
//! Hashes are those of Go's bcrypt package, `$2a$`, in both directions. As there, a new password
//! may have at most 72 bytes, because bcrypt ignores the rest. A check ignores the rest too, since
//! older versions of etcd made hashes of longer passwords.
//!
//! # Unknown users
//!
//! [`Hasher::verify`] takes as long for a user that does not exist, or has no password, as for a
//! wrong password. etcd answers at once, so the time of the answer reveals which names exist. The
//! price is the time of a hash for each such login, which the queue bounds like any other. The
//! times differ for users whose hashes were made with another `--bcrypt-cost`.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread;

use bcrypt::Version;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

/// The costs that bcrypt knows: a hash takes 2^cost rounds.
const COSTS: RangeInclusive<u32> = 4..=31;
/// Default of `--bcrypt-cost`.
pub(crate) const DEFAULT_COST: u32 = 10;

/// Different hashes that may wait or run. With cost 10 the last one is answered after three
/// seconds, which is about as long as clients wait for a login.
const JOBS_MAX: usize = 64;
/// Requests that may wait for these hashes.
const WAITING_MAX: usize = 4096;

/// Longest password that can be hashed: bcrypt ignores the bytes after this.
const PASSWORD_BYTES_MAX: usize = 72;
const HASH_BYTES: usize = 60;

/// Added to the niceness of the thread. A thread that serves clients then gets 28 times as much
/// time if both want the same core. With 19, the maximum, it would be 68 times, and nobody could
/// log in to a busy member to find out why it is busy.
const NICE: i32 = 15;

/// Salt of the hash that is computed, and dropped, for users without one.
const NO_SALT: [u8; 16] = [0; 16];

/// The reason why there is no hash, or no verdict about a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    /// The queue is full. For clients: `ResourceExhausted`.
    #[error("etcdserver: too many passwords are being checked, try again later")]
    Busy,
    /// Go's text; etcd answers with `Unknown`.
    #[error("bcrypt: password length exceeds 72 bytes")]
    TooLong,
    /// The thread has ended, since the server is stopping.
    #[error("etcdserver: server stopped")]
    Stopped,
}

/// Computes hashes on a thread of its own. Dropping it ends the thread after the running hash.
///
/// The thread is not joined: with cost 31 a hash takes a day, and it cannot be interrupted. The
/// thread holds nothing but its queue, and the end of the process ends it.
pub(crate) struct Hasher {
    shared: Arc<Shared>,
}

struct Shared {
    cost: u32,
    queue: Mutex<Queue>,
    /// Notified when the queue is no longer empty, or closed.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// The first one is running, unless the thread is about to start it.
    jobs: VecDeque<Job>,
    /// Requests that wait for these jobs.
    waiting: usize,
    closed: bool,
}

/// A computation, and the requests that wait for it.
struct Job {
    work: Arc<Work>,
    waiting: Vec<oneshot::Sender<Done>>,
}

#[derive(PartialEq)]
enum Work {
    Hash(String),
    Check {
        password: Vec<u8>,
        hash: Option<String>,
    },
}

#[derive(Clone)]
enum Done {
    Hash(String),
    Check(bool),
}

impl Hasher {
    /// Starts the thread. A cost that bcrypt does not know is replaced by the default, as in etcd.
    pub(crate) fn start(cost: u32) -> io::Result<Hasher> {
        let cost = if COSTS.contains(&cost) {
            cost
        } else {
            let (min, max) = (COSTS.start(), COSTS.end());
            tracing::warn!("--bcrypt-cost={cost} is not in {min}..={max}: using {DEFAULT_COST}");
            DEFAULT_COST
        };
        let hasher = Hasher::new(cost);
        let shared = Arc::clone(&hasher.shared);
        thread::Builder::new()
            .name("passwords".to_owned())
            .spawn(move || {
                // Without it the thread is like any other: there is only one all the same.
                let _ = rustix::process::nice(NICE);
                // Also after a panic: those who wait must not wait forever.
                let closing = Closing(shared);
                while closing.0.wait() {
                    closing.0.turn();
                }
            })?;
        Ok(hasher)
    }

    /// Creates the queue, without the thread.
    fn new(cost: u32) -> Hasher {
        Hasher {
            shared: Arc::new(Shared {
                cost,
                queue: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    /// Hashes a new password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, PasswordError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        match self.shared.done(Work::Hash(password)).await? {
            Done::Hash(hash) => Ok(hash),
            Done::Check(_) => unreachable!("a hash is computed"),
        }
    }

    /// Returns whether `hash` is a hash of the password. `None`, for a user that does not exist or
    /// has no password, and text that is not a hash, take as long and fit no password.
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<&[u8]>,
    ) -> Result<bool, PasswordError> {
        let mut password = password.into_bytes();
        // The rest is ignored anyway, and would be kept in the queue.
        password.truncate(PASSWORD_BYTES_MAX);
        let is_hash = |hash: &&[u8]| hash.len() == HASH_BYTES;
        let hash = hash.filter(is_hash).map(<[u8]>::to_vec);
        let hash = hash.and_then(|hash| String::from_utf8(hash).ok());
        match self.shared.done(Work::Check { password, hash }).await? {
            Done::Check(fits) => Ok(fits),
            Done::Hash(_) => unreachable!("a password is checked"),
        }
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher")
            .field("cost", &self.shared.cost)
            .finish_non_exhaustive()
    }
}

/// Closes the queue when the thread ends.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    async fn done(&self, work: Work) -> Result<Done, PasswordError> {
        let answer = self.submit(work)?;
        answer.await.map_err(|_| PasswordError::Stopped)
    }

    fn submit(&self, work: Work) -> Result<oneshot::Receiver<Done>, PasswordError> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(PasswordError::Stopped);
        }
        if queue.waiting >= WAITING_MAX {
            return Err(PasswordError::Busy);
        }
        let (sender, answer) = oneshot::channel();
        if let Some(same) = queue.same(&work) {
            same.waiting.push(sender);
        } else if queue.jobs.len() < JOBS_MAX {
            queue.jobs.push_back(Job {
                work: Arc::new(work),
                waiting: vec![sender],
            });
            self.changed.notify_one();
        } else {
            return Err(PasswordError::Busy);
        }
        queue.waiting += 1;
        Ok(answer)
    }

    /// Ends the thread after its turn. Requests that wait get [`PasswordError::Stopped`].
    fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.jobs.clear();
        queue.waiting = 0;
        self.changed.notify_one();
    }

    /// Returns true when there is a job, false when the queue is closed.
    fn wait(&self) -> bool {
        let mut queue = self.queue.lock();
        self.changed
            .wait_while(&mut queue, |queue| queue.jobs.is_empty() && !queue.closed);
        !queue.closed
    }

    /// Does the first job.
    fn turn(&self) {
        let Some(work) = self.queue.lock().first() else {
            return;
        };
        // The queue is unlocked meanwhile: more requests can be added, also to this job.
        let done = work.run(self.cost);
        // There is no job if the queue was closed meanwhile.
        let job = self.queue.lock().pop();
        for sender in job.into_iter().flat_map(|job| job.waiting) {
            // The client may have given up.
            let _ = sender.send(done.clone());
        }
    }
}

impl Queue {
    /// Returns the job that can answer this request, too. A hash is made for one request only,
    /// because each has a salt of its own.
    fn same(&mut self, work: &Work) -> Option<&mut Job> {
        let is_check = matches!(work, Work::Check { .. });
        let mut jobs = self.jobs.iter_mut();
        jobs.find(|job| is_check && *job.work == *work)
    }

    /// Returns the work of the first job, and drops jobs that all clients have given up.
    fn first(&mut self) -> Option<Arc<Work>> {
        loop {
            let job = self.jobs.front()?;
            if job.waiting.iter().any(|sender| !sender.is_closed()) {
                return Some(Arc::clone(&job.work));
            }
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        self.waiting -= job.waiting.len();
        Some(job)
    }
}

impl Work {
    fn run(&self, cost: u32) -> Done {
        match self {
            Work::Hash(password) => Done::Hash(hash(password, cost)),
            Work::Check { password, hash } => Done::Check(check(password, hash.as_deref(), cost)),
        }
    }
}

/// Computes a hash as Go writes it.
fn hash(password: &str, cost: u32) -> String {
    let parts = bcrypt::hash_with_result(password, cost);
    let parts = parts.expect("the cost is a valid one, and the system has random numbers");
    // The crate by itself writes `$2b$`, which is the same function.
    parts.format_for_version(Version::TwoA)
}

fn check(password: &[u8], hash: Option<&str>, cost: u32) -> bool {
    let fits = hash.map(|hash| bcrypt::verify(password, hash));
    if let Some(Ok(fits)) = fits {
        return fits;
    }
    // Takes the time of a check.
    let _ = bcrypt::hash_with_salt(password, cost, NO_SALT);
    false
}

#[cfg(test)]
mod tests;
