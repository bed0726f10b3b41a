//! A thread that reads files which flags name, such as certificates or keys: at first, and then
//! when they change.
//!
//! It is the only one that touches the files, because a file may be on a server that does not
//! answer. Then no connection waits: each takes what was read last. The process does not wait for
//! the thread either when it ends, so nobody joins it.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use conclave_core::clock::{Clock as _, Moment, SystemClock};
use conclave_core::limits::{WATCHED_FILES_CHECK_INTERVAL, WATCHED_FILES_READ_MAX};

/// What was made of the files that were read last.
pub(crate) struct Watched<T> {
    latest: Arc<Latest<T>>,
    /// Makes the thread read the files now. Its end is the end of the thread.
    again: mpsc::SyncSender<()>,
}

struct Latest<T> {
    /// Contents of the files, for log lines: "the certificates for clients".
    what: String,
    /// How long a check may take until it counts as failed.
    patience: Duration,
    clock: SystemClock,
    state: Mutex<State<T>>,
}

struct State<T> {
    made: Arc<T>,
    /// Whether the present files cannot be used, so that `made` is of former ones.
    has_failed: bool,
    /// The end of the last check.
    checked: Moment,
    /// Whether the log says that the check after that one takes too long.
    is_late: bool,
}

/// The reason why the first read has not been made.
#[derive(Debug)]
pub(crate) enum Failed<E> {
    /// The files cannot be used.
    Unusable(E),
    /// The files were not read in time.
    Late,
    /// The system has no thread to read them.
    NoThread(std::io::Error),
}

impl<E> Failed<E> {
    /// Makes it the error of the caller. `other` makes one of a text about the files.
    pub(crate) fn into_error(self, other: impl FnOnce(String) -> E) -> E {
        match self {
            Failed::Unusable(error) => error,
            Failed::Late => other(format!(
                "could not be read within {} s: does the server that has the files answer?",
                WATCHED_FILES_READ_MAX.as_secs()
            )),
            Failed::NoThread(error) => other(format!(
                "cannot be read, because no thread can be made: {error}"
            )),
        }
    }
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Starts the thread, and returns when it has read the files. `what` says what they have, for
    /// log lines. `check` returns what it made of them if they have changed since its last call, or
    /// if its argument is true.
    pub(crate) fn start<E: fmt::Display + Send + 'static>(
        what: String,
        check: impl FnMut(bool) -> Option<Result<T, E>> + Send + 'static,
    ) -> Result<Watched<T>, Failed<E>> {
        Watched::start_within(WATCHED_FILES_READ_MAX, what, check)
    }

    fn start_within<E: fmt::Display + Send + 'static>(
        patience: Duration,
        what: String,
        mut check: impl FnMut(bool) -> Option<Result<T, E>> + Send + 'static,
    ) -> Result<Watched<T>, Failed<E>> {
        let (again, wanted) = mpsc::sync_channel(1);
        let (first, opened) = mpsc::sync_channel(1);
        let watch = move || {
            let latest = match check(true) {
                Some(Ok(made)) => Arc::new(Latest::new(what, patience, made)),
                Some(Err(error)) => return drop(first.send(Err(error))),
                None => return,
            };
            if first.send(Ok(Arc::clone(&latest))).is_err() {
                return;
            }
            loop {
                match wanted.recv_timeout(WATCHED_FILES_CHECK_INTERVAL) {
                    Ok(()) => latest.checked(check(true)),
                    Err(RecvTimeoutError::Timeout) => latest.checked(check(false)),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = thread::Builder::new().name("watched-files".to_owned());
        thread.spawn(watch).map_err(Failed::NoThread)?;
        match opened.recv_timeout(patience) {
            Ok(Ok(latest)) => Ok(Watched { latest, again }),
            Ok(Err(error)) => Err(Failed::Unusable(error)),
            Err(_) => Err(Failed::Late),
        }
    }

    /// Makes the thread read the files now, whether they have changed or not.
    pub(crate) fn read_again(&self) {
        // If the queue is full, the thread is about to read them.
        let _ = self.again.try_send(());
    }

    /// Returns what was made of the files, and whether the present ones cannot be used.
    pub(crate) fn latest(&self) -> (Arc<T>, bool) {
        let latest = &self.latest;
        let mut state = latest.state.lock();
        let is_late = latest.clock.now().since(state.checked) >= latest.patience;
        let must_log = is_late && !state.is_late;
        state.is_late |= is_late;
        let found = (Arc::clone(&state.made), state.has_failed || is_late);
        drop(state);
        if must_log {
            tracing::warn!(
                "the files with {} could not be checked for {} s, perhaps because the server that \
                 has them does not answer: the former ones stay",
                latest.what,
                latest.patience.as_secs(),
            );
        }
        found
    }
}

impl<T> Latest<T> {
    fn new(what: String, patience: Duration, made: T) -> Latest<T> {
        let clock = SystemClock::new();
        Latest {
            what,
            patience,
            clock,
            state: Mutex::new(State {
                made: Arc::new(made),
                has_failed: false,
                checked: clock.now(),
                is_late: false,
            }),
        }
    }

    fn checked<E: fmt::Display>(&self, outcome: Option<Result<T, E>>) {
        let what = &self.what;
        let mut state = self.state.lock();
        state.checked = self.clock.now();
        state.is_late = false;
        match outcome {
            None => {}
            Some(Ok(made)) => {
                (state.made, state.has_failed) = (Arc::new(made), false);
                drop(state);
                tracing::info!("{what} were read again");
            }
            Some(Err(error)) => {
                state.has_failed = true;
                drop(state);
                let error = error.to_string();
                tracing::warn!(
                    error,
                    "{what} cannot be used as they are now: the former ones stay"
                );
            }
        }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("what", &self.latest.what)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    type Check = Box<dyn FnMut(bool) -> Option<Result<u32, Infallible>> + Send>;

    const LONG: Duration = Duration::from_secs(600);

    /// Returns a sender, and a receiver that hears of a check that begins to hang. Checks hang from
    /// call number `from` on, for as long as the sender lives.
    fn hangs(from: u32) -> (mpsc::Sender<()>, mpsc::Receiver<()>, Check) {
        let (held, hang) = mpsc::channel::<()>();
        let (hanging, hangs) = mpsc::channel();
        let mut calls = 0;
        let check = move |_| {
            calls += 1;
            if calls >= from {
                let _ = hanging.send(());
                let _ = hang.recv();
            }
            Some(Ok(calls))
        };
        (held, hangs, Box::new(check))
    }

    #[test]
    fn files_that_hang_keep_no_connection_waiting() {
        let (held, hanging, check) = hangs(2);
        let watched = Watched::start_within(LONG, "tests".to_owned(), check).expect("it is read");
        hanging.recv().expect("the second check begins");
        let (made, has_failed) = watched.latest();
        assert_eq!((*made, has_failed), (1, false));
        drop(watched);
        drop(held);
    }

    #[test]
    fn a_check_that_takes_too_long_is_a_failure() {
        for (patience, is_late) in [(LONG, false), (Duration::ZERO, true)] {
            let watched = Watched {
                latest: Arc::new(Latest::new("tests".to_owned(), patience, 1)),
                again: mpsc::sync_channel(1).0,
            };
            assert_eq!(watched.latest().1, is_late);
            assert_eq!(watched.latest.state.lock().is_late, is_late);
            watched.latest.checked(None::<Result<u32, Infallible>>);
            assert!(!watched.latest.state.lock().is_late);
        }
    }

    #[test]
    fn files_that_hang_at_first_are_an_error() {
        let (held, _hanging, check) = hangs(1);
        let failed = Watched::start_within(Duration::from_millis(1), "tests".to_owned(), check);
        assert!(matches!(failed, Err(Failed::Late)), "{failed:?}");
        drop(held);
    }
}
