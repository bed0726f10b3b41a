//! Answers from the owners' threads to many tasks at once.
//!
//! Waking a task from outside the runtime costs a lock and perhaps a system call; from inside, it
//! costs next to nothing. So a large batch is answered by one task inside the runtime.

use tokio::runtime;

/// Up to this many are answered by the calling thread: a task would have to be scheduled first.
const FROM_HERE_MAX: usize = 2;

/// Calls `answer` with each of `answers`, which wakes the task that waits for it.
pub(crate) fn answer_each<A: Send + 'static>(
    runtime: &runtime::Handle,
    answers: Vec<A>,
    answer: impl Fn(A) + Send + 'static,
) {
    if answers.len() <= FROM_HERE_MAX {
        answers.into_iter().for_each(answer);
    } else {
        runtime.spawn(async move { answers.into_iter().for_each(answer) });
    }
}
