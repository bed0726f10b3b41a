//! Work that blocks: it waits until the world gives it a turn.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use conclave_core::workers::Workers;

type Work = Box<dyn FnOnce() + Send>;

/// The work of one process that has not begun.
#[derive(Clone, Default)]
pub struct Queue {
    waiting: Arc<Mutex<VecDeque<Work>>>,
}

impl Queue {
    /// Pieces of work that wait.
    pub fn len(&self) -> usize {
        self.with(|waiting| waiting.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Does one piece: it was as long as it took until now.
    pub fn work(&self, choice: usize) {
        let work = self.with(|waiting| {
            let position = choice.checked_rem(waiting.len())?;
            waiting.remove(position)
        });
        if let Some(work) = work {
            work();
        }
    }

    /// The process is dead: nothing of it is done. What is dropped may start more.
    pub fn clear(&self) {
        while let Some(work) = self.with(VecDeque::pop_front) {
            drop(work);
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut VecDeque<Work>) -> T) -> T {
        look(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Workers for Queue {
    fn start(&self, _name: &'static str, work: Work) -> io::Result<Option<JoinHandle<()>>> {
        self.with(|waiting| waiting.push_back(work));
        Ok(None)
    }
}
