//! Answers from the threads of the owners to many tasks at once.
//!
//! To wake a task from outside the runtime costs a lock and perhaps a system call; from inside,
//! next to nothing. So a batch of any size costs the first only once.

use tokio::runtime;

/// So few are answered where they are: another task would only make them wait for its turn.
const FROM_HERE_MAX: usize = 2;

/// Gives each of `answers` to `answer`, which wakes the task that waits for it.
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
