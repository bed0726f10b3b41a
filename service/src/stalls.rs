//! Detects an owner that hangs: the driver or the applier, in one turn that does not end.
//!
//! An owner hangs if it has been in the same turn from one look to the next. It does not while it
//! waits between two turns: for a leader, for work, or for the log writer's disk.
//!
//! A turn of the applier may rightly take minutes, for example when a request deletes millions of
//! keys, and to end the process then would be worse than to wait: the next start would find the
//! same entry in the log, on every member. So the applier hangs only if its thread has used no
//! processor time either, which means that it is blocked. A loop without an end is therefore not
//! detected. It would not be cured either, for the same reason.

use std::fs;
use std::path::PathBuf;

use conclave_core::Handle;
use conclave_core::handle::Turns;

/// The name that the core gives to the applier's thread.
const APPLIER: &str = "applier";

/// Compares the owners' positions with those of the last look.
#[derive(Debug)]
pub(crate) struct Stalls {
    handle: Handle,
    last: Look,
}

/// The positions of the owners at one moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    turns: Turns,
    /// Processor time of the applier's thread, in the kernel's units; `None` where the kernel does
    /// not report it.
    applier_time: Option<u64>,
}

impl Stalls {
    /// Takes the first look.
    pub(crate) fn new(handle: Handle) -> Stalls {
        let last = Look::now(&handle);
        Stalls { handle, last }
    }

    /// Returns the owner that has hung since the last look, if any.
    pub(crate) fn look(&mut self) -> Option<&'static str> {
        let now = Look::now(&self.handle);
        let last = std::mem::replace(&mut self.last, now);
        now.hung_since(last)
    }
}

impl Look {
    fn now(handle: &Handle) -> Look {
        Look {
            turns: handle.turns(),
            applier_time: thread_time(APPLIER),
        }
    }

    fn hung_since(self, last: Look) -> Option<&'static str> {
        let (now, then) = (self.turns, last.turns);
        if now.driver.has_lasted_since(then.driver) {
            return Some("driver");
        }
        let has_run = self.applier_time > last.applier_time;
        (now.applier.has_lasted_since(then.applier) && !has_run).then_some(APPLIER)
    }
}

/// Returns the processor time of the thread of this name.
fn thread_time(name: &str) -> Option<u64> {
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let is_it = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let task = tasks.flatten().map(|task| task.path()).find(is_it)?;
    time_in(&fs::read_to_string(task.join("stat")).ok()?)
}

/// Returns the processor time in the line of a `stat` file: user and system.
fn time_in(stat: &str) -> Option<u64> {
    // The name of the thread, in parentheses, may have blanks; the state comes after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use conclave_core::handle::Turn;

    use super::*;

    fn look(driver: u64, applier: u64, applier_time: Option<u64>) -> Look {
        Look {
            turns: Turns {
                driver: Turn(driver),
                applier: Turn(applier),
            },
            applier_time,
        }
    }

    #[test]
    fn owners_that_wait_do_not_hang() {
        let idle = look(10, 20, Some(7));
        assert_eq!(idle.hung_since(idle), None);
        assert_eq!(look(12, 20, Some(7)).hung_since(idle), None, "a tick");
    }

    #[test]
    fn an_owner_in_one_turn_hangs_and_in_another_does_not() {
        let before = look(11, 21, Some(7));
        assert_eq!(look(11, 22, Some(7)).hung_since(before), Some("driver"));
        assert_eq!(look(13, 21, Some(7)).hung_since(before), Some("applier"));
        assert_eq!(look(13, 23, Some(7)).hung_since(before), None);
    }

    /// A request that deletes millions of keys is one turn.
    #[test]
    fn an_applier_that_works_does_not_hang() {
        let before = look(11, 21, Some(7));
        assert_eq!(look(13, 21, Some(8)).hung_since(before), None);
        let unknown = look(11, 21, None);
        assert_eq!(look(13, 21, None).hung_since(unknown), Some("applier"));
    }

    #[test]
    fn a_thread_that_works_uses_time() {
        let work = || {
            let used = || thread_time("stalls-worker").expect("it is this thread");
            let before = used();
            while used() == before {}
        };
        let worker = std::thread::Builder::new().name("stalls-worker".to_owned());
        worker
            .spawn(work)
            .expect("it starts")
            .join()
            .expect("it ends");
        assert_eq!(thread_time("no-such-thread"), None);
    }

    #[test]
    fn the_name_of_a_thread_may_have_anything_in_it() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 30 12 13 14";
        assert_eq!(time_in(stat), Some(42));
        assert_eq!(time_in("7 (a) S 1 2"), None);
    }
}
