//! Facts about the machine that a reader needs next to any wall clock figure.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::stats;
use crate::wire::Failure;

/// Limit of synced writes made to measure the cost of one ...
const SYNCS: u32 = 500;
/// ... and time limit for all of them.
const SYNCS_TIME: Duration = Duration::from_secs(2);
/// Size of each: about a put with its key.
const SYNC_BYTES: usize = 1300;

/// The machine and the disk of the data directory.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    pub(crate) processors: usize,
    pub(crate) processor: String,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    pub(crate) device: String,
    /// Runnable tasks, averaged over the last minute, before the servers were started.
    pub(crate) load_average: f64,
    /// Median cost of a synced append, in microseconds.
    pub(crate) sync_p50_us: f64,
    pub(crate) sync_p99_us: f64,
}

impl Host {
    /// Measures the machine; `directory` is on the disk to measure.
    pub(crate) fn look(directory: &Path) -> Result<Host, Failure> {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mounts = text("/proc/self/mounts");
        let (device, file_system) = mount_of(&mounts, &directory.canonicalize()?);
        let syncs = sync_times(directory)?;
        let at = |quantile| syncs.value_at_quantile(quantile) as f64 / 1e3;
        let load = text("/proc/loadavg");
        Ok(Host {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field(&text("/proc/cpuinfo"), "model name")
                .unwrap_or("?")
                .to_owned(),
            memory_bytes: kibibytes(&text("/proc/meminfo"), "MemTotal") * 1024,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system,
            device,
            load_average: load
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0.0),
            sync_p50_us: at(0.5),
            sync_p99_us: at(0.99),
        })
    }
}

/// Bytes of all files under `directory`.
pub(crate) fn disk_bytes(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            // Servers delete files concurrently.
            Err(_) => 0,
        })
        .sum()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn kibibytes(text: &str, name: &str) -> u64 {
    field(text, name)
        .and_then(|value| value.strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or_default()
}

/// Device and file system type of the mount that contains `path`: the longest mount point above it,
/// and of equal ones the last, which covers the others.
fn mount_of(mounts: &str, path: &Path) -> (String, String) {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
            path.starts_with(point)
                .then_some((point.len(), device, kind))
        })
        .max_by_key(|(length, ..)| *length)
        .map_or(("?".into(), "?".into()), |(_, device, kind)| {
            (device.into(), kind.into())
        })
}

fn sync_times(directory: &Path) -> Result<Histogram<u64>, Failure> {
    let mut times = stats::histogram();
    let mut file: File = tempfile::tempfile_in(directory)?;
    // Like a log: into preallocated space, since otherwise the file's new length is synced, too.
    file.set_len(u64::from(SYNCS) * SYNC_BYTES as u64)?;
    file.write_all(&vec![1; SYNCS as usize * SYNC_BYTES])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let begin = Instant::now();
    for _ in 0..SYNCS {
        let sync = Instant::now();
        file.write_all(&[2; SYNC_BYTES])?;
        file.sync_data()?;
        times.saturating_record(sync.elapsed().as_nanos() as u64);
        if begin.elapsed() > SYNCS_TIME {
            break;
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_its_deepest_mount() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        let kind = |path: &str| mount_of(mounts, Path::new(path)).1;
        assert_eq!(kind("/home/me"), "ext4");
        assert_eq!(kind("/tmp/y"), "tmpfs");
        assert_eq!(kind("/tmp/x/y"), "xfs");
        assert_eq!(kind("/tmpfile"), "ext4");
    }

    #[test]
    fn proc_files_are_read_by_name() {
        assert_eq!(
            kibibytes("MemTotal:       2048 kB\nMemFree: 1 kB\n", "MemTotal"),
            2048
        );
        assert_eq!(field("model name\t: Fast\n", "model name"), Some("Fast"));
        assert_eq!(field("model name\t: Fast\n", "model"), None);
    }
}
