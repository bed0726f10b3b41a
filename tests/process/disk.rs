//! A file system in memory, of a size, that can be made larger or read-only while it is in use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system. Unmounted when dropped.
pub(crate) struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// Mounts one, with options as `mount` takes them. `None`, and a line that says why the test
    /// proves nothing here, if this user may not mount.
    pub(crate) fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().to_str().unwrap();
        if run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", target]) {
            return Some(Self { dir });
        }
        eprintln!("skipped: this user may not mount a tmpfs");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes options of the mounted file system.
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let target: PathBuf = self.path().to_owned();
        assert!(run("mount", &["-o", &options, target.to_str().unwrap()]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because a process that is about to end may hold files still.
        run("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let status = command.args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
