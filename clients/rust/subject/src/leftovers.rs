//! Leftovers of the library in this process: tasks of the runtime and open sockets.

use std::fs;

use tokio::runtime::Handle;

/// The sockets of this process, standard input and output left out.
pub(crate) fn sockets() -> Vec<String> {
    let Ok(files) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let files = files.filter_map(|file| {
        let file = file.ok()?;
        let number: u32 = file.file_name().to_str()?.parse().ok()?;
        let target = fs::read_link(file.path()).ok()?;
        let target = target.to_string_lossy().into_owned();
        (number > 2 && target.starts_with("socket:")).then_some(target)
    });
    files.collect()
}

/// The tasks that are not the subject's own.
pub(crate) fn tasks(own: usize) -> usize {
    Handle::current()
        .metrics()
        .num_alive_tasks()
        .saturating_sub(own)
}
