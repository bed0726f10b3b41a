//! An audit log in a file: appended to, and rotated by size.
//!
//! The full file `audit.log` becomes `audit.log.1`, the one before `audit.log.2`, and so on.
//! Nothing is ever cut off: a line that was torn, because the disk was full or the machine lost
//! power, stays, and the next line begins on a line of its own. A file that was moved, removed or
//! cut by another program is noticed within a second, so logrotate needs neither a signal nor
//! `copytruncate`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave_core::clock::{Clock as _, Moment, SystemClock};

use crate::files;

/// Time between two looks at whether the path still leads to the file.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A failed write, and how much was written before it.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Lines that were written whole before it failed.
    pub(super) written: usize,
    pub(super) error: io::Error,
}

/// An audit log in a file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// Size at which the file is rotated; `None` for never.
    bytes_max: Option<u64>,
    /// Rotated files that are kept.
    keep: u32,
    opened: Option<Opened>,
    clock: SystemClock,
    looked: Moment,
    /// Why the file could not be rotated the last time, to be logged.
    not_rotated: Option<io::Error>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    device_and_inode: (u64, u64),
    size_bytes: u64,
    /// True if the last line of the file is incomplete.
    is_torn: bool,
}

impl Opened {
    fn open(path: &Path) -> io::Result<Opened> {
        let file = files::open_to_append(path)?;
        let found = file.metadata()?;
        let mut last = [b'\n'];
        if let Some(at) = found.len().checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        Ok(Opened {
            file,
            device_and_inode: (found.dev(), found.ino()),
            size_bytes: found.len(),
            is_torn: last != [b'\n'],
        })
    }

    /// Writes lines. Returns how many of them are whole if it fails.
    fn write(&mut self, lines: &[String]) -> Result<(), Unwritten> {
        let mut bytes = Vec::new();
        if self.is_torn {
            bytes.push(b'\n');
        }
        let mut ends = Vec::with_capacity(lines.len());
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            ends.push(bytes.len());
        }
        let (mut written, mut outcome) = (0, Ok(()));
        while written < bytes.len() && outcome.is_ok() {
            outcome = match self.file.write(&bytes[written..]) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    Ok(())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(error) => Err(error),
            };
        }
        self.size_bytes += written as u64;
        if let Some(last) = written.checked_sub(1) {
            self.is_torn = bytes[last] != b'\n';
        }
        outcome.map_err(|error| Unwritten {
            written: ends.iter().take_while(|end| **end <= written).count(),
            error,
        })
    }
}

impl LogFile {
    /// Opens the file, or creates it for the process's user alone.
    pub(super) fn open(path: &Path, bytes_max: Option<u64>, keep: u32) -> io::Result<LogFile> {
        let clock = SystemClock::new();
        let looked = clock.now();
        Ok(LogFile {
            path: path.to_owned(),
            bytes_max,
            keep,
            opened: Some(Opened::open(path)?),
            clock,
            looked,
            not_rotated: None,
        })
    }

    /// Opens the file anew. If that fails, the next line tries again, and reports it.
    pub(super) fn reopen(&mut self) {
        self.opened = Opened::open(&self.path).ok();
    }

    /// Returns why the file could not be rotated since the last call.
    pub(super) fn take_rotation_error(&mut self) -> Option<io::Error> {
        self.not_rotated.take()
    }

    /// Writes lines, each of which ends with a newline.
    pub(super) fn write(&mut self, lines: &[String]) -> Result<(), Unwritten> {
        if self.clock.now().since(self.looked) >= LOOK_INTERVAL {
            self.look();
        }
        let mut begun = 0;
        while begun < lines.len() {
            let whole = self.write_some(&lines[begun..]);
            begun += whole.map_err(|Unwritten { written, error }| Unwritten {
                written: begun + written,
                error,
            })?;
        }
        Ok(())
    }

    /// Writes as many lines as the file has room for, at least one. Returns their number.
    fn write_some(&mut self, lines: &[String]) -> Result<usize, Unwritten> {
        let failed = |error| Unwritten { written: 0, error };
        let mut opened = match self.opened.take() {
            Some(opened) => opened,
            None => Opened::open(&self.path).map_err(failed)?,
        };
        let mut count = self.room(&opened, lines);
        if count == 0 {
            match self.rotated() {
                Ok(new) => opened = new,
                // The lines are worth more than the bound.
                Err(error) => self.not_rotated = Some(error),
            }
            count = self.room(&opened, lines).max(1);
        }
        let written = opened.write(&lines[..count]);
        self.opened = Some(opened);
        written.map(|()| count)
    }

    /// Returns how many lines the file takes before it must be rotated. An empty file takes one at
    /// least.
    fn room(&self, opened: &Opened, lines: &[String]) -> usize {
        let Some(bytes_max) = self.bytes_max else {
            return lines.len();
        };
        let mut size_bytes = opened.size_bytes + u64::from(opened.is_torn);
        let fits = lines.iter().take_while(|line| {
            size_bytes += line.len() as u64;
            size_bytes <= bytes_max
        });
        fits.count().max(usize::from(opened.size_bytes == 0))
    }

    /// Moves the file away and opens a new one.
    fn rotated(&self) -> io::Result<Opened> {
        self.make_room(1)?;
        fs::rename(&self.path, self.numbered(1))?;
        Opened::open(&self.path)
    }

    /// Frees a number by moving the files from there on by one. The last one is replaced. A gap,
    /// which a rotation that failed may have left, is filled before anything is given up.
    fn make_room(&self, number: u32) -> io::Result<()> {
        let file = self.numbered(number);
        if number >= self.keep || !file.try_exists()? {
            return Ok(());
        }
        self.make_room(number + 1)?;
        fs::rename(file, self.numbered(number + 1))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    /// Looks whether the path still leads to the file that is open, and how large that is.
    fn look(&mut self) {
        self.looked = self.clock.now();
        let Some(opened) = &mut self.opened else {
            return;
        };
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == opened.device_and_inode => {
                opened.size_bytes = found.len();
            }
            // Also if the folder is gone: what is written to a file without a name is lost.
            Ok(_) | Err(_) => self.opened = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Place {
            let dir = tempfile::tempdir().expect("a temporary directory");
            Place { dir }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("logs/audit.log")
        }

        fn make(&self) {
            fs::create_dir(self.dir.path().join("logs")).expect("not there yet");
        }

        fn open(&self, bytes_max: Option<u64>, keep: u32) -> LogFile {
            LogFile::open(&self.path(), bytes_max, keep).expect("a file that can be opened")
        }

        fn text(&self, ending: &str) -> Option<String> {
            let mut name = self.path().into_os_string();
            name.push(ending);
            fs::read_to_string(name).ok()
        }
    }

    fn lines(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| format!("{word}\n")).collect()
    }

    fn write(file: &mut LogFile, words: &[&str]) {
        file.write(&lines(words)).expect("a disk that works");
    }

    #[test]
    fn a_file_is_for_its_owner_and_is_appended_to() {
        let place = Place::new();
        assert!(LogFile::open(&place.path(), None, 1).is_err(), "no folder");
        place.make();
        write(&mut place.open(None, 1), &["a", "b"]);
        let mode = fs::metadata(place.path()).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        write(&mut place.open(None, 1), &["c"]);
        assert_eq!(place.text("").as_deref(), Some("a\nb\nc\n"));
        let folder = LogFile::open(place.dir.path(), None, 1);
        assert!(folder.is_err(), "a folder is no file");
    }

    #[test]
    fn a_torn_line_stays_and_the_next_begins_anew() {
        let place = Place::new();
        place.make();
        fs::write(place.path(), "a\nb\n{\"to").expect("written");
        let mut file = place.open(None, 1);
        write(&mut file, &["c"]);
        write(&mut file, &["d"]);
        assert_eq!(place.text("").as_deref(), Some("a\nb\n{\"to\nc\nd\n"));
    }

    #[test]
    fn a_full_file_makes_room_for_the_next() {
        let place = Place::new();
        place.make();
        // Three lines of two bytes fill a file.
        let mut file = place.open(Some(7), 2);
        write(&mut file, &["1", "2", "3", "4", "5", "6", "7"]);
        assert_eq!(place.text("").as_deref(), Some("7\n"));
        assert_eq!(place.text(".1").as_deref(), Some("4\n5\n6\n"));
        assert_eq!(place.text(".2").as_deref(), Some("1\n2\n3\n"));
        // After a restart it goes on where it was.
        let mut file = place.open(Some(7), 2);
        write(
            &mut file,
            &["8", "9", "a line that no file has room for", "b"],
        );
        assert_eq!(place.text("").as_deref(), Some("b\n"));
        let long = "a line that no file has room for\n";
        assert_eq!(place.text(".1").as_deref(), Some(long));
        assert_eq!(place.text(".2").as_deref(), Some("7\n8\n9\n"));
        assert_eq!(place.text(".3"), None);
    }

    #[test]
    fn a_file_that_cannot_be_rotated_is_written_all_the_same() {
        let place = Place::new();
        place.make();
        let mut file = place.open(Some(4), 1);
        // A folder with something in it, which no file can replace.
        fs::create_dir_all(place.dir.path().join("logs/audit.log.1/x")).expect("created");
        write(&mut file, &["1", "2", "3"]);
        assert_eq!(place.text("").as_deref(), Some("1\n2\n3\n"));
        assert!(file.take_rotation_error().is_some());
        fs::remove_dir_all(place.dir.path().join("logs/audit.log.1")).expect("removed");
        write(&mut file, &["4"]);
        assert!(file.take_rotation_error().is_none());
        assert_eq!(place.text("").as_deref(), Some("4\n"));
        assert_eq!(place.text(".1").as_deref(), Some("1\n2\n3\n"));
    }

    #[test]
    fn a_file_that_was_moved_is_made_again() {
        let place = Place::new();
        place.make();
        let mut file = place.open(None, 1);
        write(&mut file, &["a"]);
        fs::rename(place.path(), place.dir.path().join("moved")).expect("renamed");
        file.look();
        write(&mut file, &["b"]);
        assert_eq!(place.text("").as_deref(), Some("b\n"));
        file.reopen();
        write(&mut file, &["c"]);
        assert_eq!(place.text("").as_deref(), Some("b\nc\n"));
    }

    #[test]
    fn without_its_folder_lines_fail_until_it_is_back() {
        let place = Place::new();
        place.make();
        let mut file = place.open(None, 1);
        write(&mut file, &["a"]);
        fs::remove_dir_all(place.dir.path().join("logs")).expect("removed");
        file.look();
        for _ in 0..2 {
            let unwritten = file.write(&lines(&["b"])).expect_err("no folder");
            assert_eq!(unwritten.error.kind(), io::ErrorKind::NotFound);
            assert_eq!(unwritten.written, 0);
        }
        place.make();
        write(&mut file, &["c"]);
        assert_eq!(place.text("").as_deref(), Some("c\n"));
    }
}
