//! Turns on the processor: a fixed number of long reads run at a time, and the one that has waited
//! longest runs next.
//!
//! A read takes a turn ([`Turns::take`]), offers it to other reads about every millisecond
//! ([`Turns::pass`]), and releases it while it waits for its client ([`Turns::without`]). Each
//! waiting thread is woken individually: with a shared condition variable, every pass would wake
//! all of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

use parking_lot::Mutex;

/// The processor turns of long reads.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Waiting threads in order of arrival. Empty while a turn is free.
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    is_next: AtomicBool,
}

/// A turn, held until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Creates `count` turns.
    pub(super) fn new(count: usize) -> Turns {
        Turns {
            state: Mutex::new(State {
                free: count,
                waiting: VecDeque::new(),
            }),
        }
    }

    /// Waits for a turn.
    pub(super) fn take(&self) -> Turn<'_> {
        self.acquire();
        Turn(self)
    }

    /// Passes this thread's turn to the thread that has waited longest, and waits for the next
    /// turn. Returns at once if no thread waits. The calling thread must hold a turn.
    pub(super) fn pass(&self) {
        let waiter = {
            let mut state = self.state.lock();
            let Some(next) = state.waiting.pop_front() else {
                return;
            };
            let waiter = state.enqueue();
            next.wake();
            waiter
        };
        waiter.wait();
    }

    /// Runs `wait` while the calling thread gives up its turn.
    pub(super) fn without<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.release();
        let waited = wait();
        self.acquire();
        waited
    }

    fn acquire(&self) {
        let waiter = {
            let mut state = self.state.lock();
            if state.free > 0 {
                state.free -= 1;
                return;
            }
            state.enqueue()
        };
        waiter.wait();
    }

    fn release(&self) {
        let mut state = self.state.lock();
        match state.waiting.pop_front() {
            Some(next) => next.wake(),
            None => state.free += 1,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl State {
    fn enqueue(&mut self) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            thread: std::thread::current(),
            is_next: AtomicBool::new(false),
        });
        self.waiting.push_back(Arc::clone(&waiter));
        waiter
    }
}

impl Waiter {
    fn wake(&self) {
        self.is_next.store(true, Ordering::Release);
        self.thread.unpark();
    }

    fn wait(&self) {
        while !self.is_next.load(Ordering::Acquire) {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn so_many_run_at_a_time_and_all_get_their_turn() {
        let (turns, running, most) = (Turns::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        let step = || {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            std::thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _turn = turns.take();
                    for round in 0..100 {
                        step();
                        match round % 2 {
                            0 => turns.pass(),
                            _ => turns.without(std::thread::yield_now),
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 2);
        let state = turns.state.into_inner();
        assert_eq!((state.free, state.waiting.len()), (2, 0));
    }
}
