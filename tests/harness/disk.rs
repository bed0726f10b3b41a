//! A file system in memory, of limited size, that can be made larger or read-only while in use.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A mounted file system. Unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// Mounts a file system with these `mount` options. If this user may not mount, prints why the
    /// test is skipped and returns `None`.
    pub fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        if run(
            "mount",
            &["-t", "tmpfs", "-o", options, "tmpfs"],
            dir.path(),
        ) {
            return Some(Self { dir });
        }
        eprintln!("skipped: this user may not mount a tmpfs");
        None
    }

    /// The mount point.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes options of the mounted file system.
    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = run("mount", &["-o", &options], self.path());
        assert!(done, "mount -o {options} failed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because a process that is about to end may still hold files open.
        run("umount", &["-l"], self.path());
    }
}

fn run(program: &str, arguments: &[&str], target: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).arg(target).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
