//! Removes child processes, their control groups and data directories when the program ends, also
//! after ctrl-c.
//!
//! Guards kill a child, by the handle of that very process, and remove a group or a directory when
//! they are dropped. A signal does not unwind, so everything that guards hold is also in a list,
//! which the thread that waits for signals empties before it ends the program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::wire::Failure;

/// The conventional exit code of a program ended by SIGINT.
const INTERRUPTED: i32 = 130;

enum Entry {
    Process(Arc<Mutex<Child>>),
    Directory(PathBuf, Remove),
}

/// Removes a directory.
type Remove = fn(&Path);

static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

fn entries() -> MutexGuard<'static, Vec<Entry>> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process that does not outlive this value.
pub(crate) struct Process {
    child: Arc<Mutex<Child>>,
}

impl Process {
    /// Starts a child. The list is locked meanwhile: at a signal the child is either in the list or
    /// not started.
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Process> {
        let mut entries = entries();
        let child = Arc::new(Mutex::new(command.spawn()?));
        entries.push(Entry::Process(Arc::clone(&child)));
        Ok(Process { child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child().id()
    }

    /// Returns true once the child has ended.
    pub(crate) fn ended(&self) -> bool {
        !matches!(self.child().try_wait(), Ok(None))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&self.child);
        entries().retain(
            |entry| !matches!(entry, Entry::Process(child) if Arc::ptr_eq(child, &self.child)),
        );
    }
}

/// A new directory that does not outlive this value.
pub(crate) struct Directory {
    path: PathBuf,
    remove: Remove,
}

impl Directory {
    /// Creates a directory with a unique name under `parent`.
    pub(crate) fn make(parent: &Path) -> Result<Directory, Failure> {
        std::fs::create_dir_all(parent)?;
        let mut entries = entries();
        let made = tempfile::Builder::new()
            .prefix("conclave-bench.")
            .tempdir_in(parent)?;
        let path = made.keep().canonicalize()?;
        Ok(Directory::guard(path, remove_all, &mut entries))
    }

    /// Creates a control group, which is a directory. Its processes must end before this value is
    /// dropped.
    pub(crate) fn make_group(path: PathBuf) -> std::io::Result<Directory> {
        let mut entries = entries();
        std::fs::create_dir(&path)?;
        Ok(Directory::guard(path, remove_group, &mut entries))
    }

    fn guard(path: PathBuf, remove: Remove, entries: &mut Vec<Entry>) -> Directory {
        entries.push(Entry::Directory(path.clone(), remove));
        Directory { path, remove }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        (self.remove)(&self.path);
        entries().retain(|entry| !matches!(entry, Entry::Directory(path, _) if *path == self.path));
    }
}

/// Starts the thread that waits for SIGINT and SIGTERM.
pub(crate) fn on_signals() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut terminate) = signal(SignalKind::terminate()) else {
                return;
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            // Locked until the process ends, so that nothing is started any more.
            let entries = entries();
            // Processes first: they write to the directories, and are in the groups.
            for entry in entries.iter() {
                if let Entry::Process(child) = entry {
                    kill(child);
                }
            }
            for entry in entries.iter() {
                if let Entry::Directory(path, remove) = entry {
                    remove(path);
                }
            }
            std::process::exit(INTERRUPTED);
        });
    });
    Ok(())
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // Both do nothing for a child that has already been waited for, so a reused process id is never
    // signalled.
    drop(child.kill());
    drop(child.wait());
}

fn remove_all(path: &Path) {
    // An error could only be reported to the user, who finds the directory anyway.
    drop(std::fs::remove_dir_all(path));
}

/// Only the directory is removed: the files in it are the kernel's, and vanish with it.
fn remove_group(path: &Path) {
    drop(std::fs::remove_dir(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_child_and_directory_end_with_their_guards() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = Directory::make(parent.path()).expect("another in it");
        let path = directory.path().to_owned();
        let process = Process::start(Command::new("sleep").arg("60")).expect("sleep is everywhere");
        let id = process.id();
        assert!(!process.ended() && path.is_dir());
        drop((process, directory));
        assert!(!path.exists());
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
