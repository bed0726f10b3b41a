//! Limits each member to one processor or a part of it, as if it had its own machine.
//!
//! The limit is the kernel's bandwidth control, with a control group for each member. Both versions
//! of control groups are supported; either needs root.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cleanup::Directory;
use crate::wire::Failure;

/// Short compared to any measurement, so that a member that has used up its share is not stopped
/// for long.
const PERIOD_US: u32 = 10_000;

const ROOT: &str = "/sys/fs/cgroup";

/// A control group whose processes share a limited part of one processor. Removed when dropped,
/// which must be after the end of its processes.
pub(crate) struct Quota {
    group: Directory,
}

impl Quota {
    /// Creates a group. `name` is part of the group's name.
    pub(crate) fn make(name: &str, percent: u32) -> Result<Quota, Failure> {
        let root = Path::new(ROOT);
        let quota_us = PERIOD_US * percent / 100;
        let is_first_version = root.join("cpu/cpu.cfs_quota_us").exists();
        let parent = match is_first_version {
            true => root.join("cpu"),
            false => root.to_owned(),
        };
        let path = parent.join(format!("conclave-bench.{}.{name}", std::process::id()));
        let settings = match is_first_version {
            true => vec![
                (path.join("cpu.cfs_period_us"), PERIOD_US.to_string()),
                (path.join("cpu.cfs_quota_us"), quota_us.to_string()),
            ],
            false => vec![
                (root.join("cgroup.subtree_control"), "+cpu".to_owned()),
                (path.join("cpu.max"), format!("{quota_us} {PERIOD_US}")),
            ],
        };
        let made = Directory::make_group(path.clone());
        let group = made.map_err(|error| refused(&path, &error))?;
        for (file, value) in settings {
            write(&file, &value)?;
        }
        Ok(Quota { group })
    }

    /// Puts a process into the group, with all its threads.
    pub(crate) fn put(&self, process: u32) -> Result<(), Failure> {
        write(
            &self.group.path().join("cgroup.procs"),
            &process.to_string(),
        )
    }
}

fn write(file: &PathBuf, value: &str) -> Result<(), Failure> {
    fs::write(file, value).map_err(|error| refused(file, &error))
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    Failure(format!(
        "--cpu-percent needs root and the kernel's control of processor time: {path}: {error}"
    ))
}
