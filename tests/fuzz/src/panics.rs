//! Detects panics anywhere in the process: a member catches the panics of its threads and tasks and
//! then stops, or loses a connection, and a target must notice both.

use std::panic;
use std::sync::{Mutex, Once, PoisonError};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Records every panic from now on, in addition to the previous hook.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(info.to_string());
            drop(seen);
            before(info);
        }));
    });
}

/// Panics if a thread or task has panicked since the last call.
pub fn none_since() {
    let seen = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(seen.is_empty(), "there were panics: {seen:#?}");
}

/// Discards the recorded panics.
pub fn forget() {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
