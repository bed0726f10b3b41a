//! Writes the files of a received snapshot: checked piece by piece, synced as they grow.
//!
//! Runs on a thread that may block. No input from the sender is trusted: names decide where files
//! are written, sizes limit the amount, and checksums verify the content. The state's own format
//! has checksums, too, but they detect damage only when a block is read, which may be a year later.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use conclave_proto::peer::snapshot_chunk::Chunk;
use conclave_proto::peer::snapshot_report::Outcome;
use conclave_proto::peer::{SnapshotData, SnapshotEnd, SnapshotFile};
use conclave_storage::Fault;

/// A file is synced each time it has grown by this much: dirty data delays the raft log's syncs on
/// the same disk, and the delay should be a few milliseconds.
const SYNC_AFTER_BYTES: u64 = 4 << 20;

/// Limit of a file name's length in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The reason why a snapshot was not received.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{0}")]
    Corrupt(String),
    #[error("the end is missing")]
    Short,
    #[error("a chunk of a later version")]
    Unknown,
    #[error("the stream broke: {0}")]
    Broken(String),
    #[error("no data arrived in time")]
    Stalled,
    #[error("this member stops")]
    Stops,
    #[error("cannot write {}: {error}", path.display())]
    Disk { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Sync(Fault),
}

impl WriteError {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            WriteError::Corrupt(_)
            | WriteError::Short
            | WriteError::Unknown
            | WriteError::Broken(_)
            | WriteError::Stalled => Outcome::Corrupt,
            WriteError::Stops | WriteError::Disk { .. } | WriteError::Sync(_) => {
                Outcome::NotInstalled
            }
        }
    }
}

/// Adds the path to the error of a file or folder. If it could not be written, the whole snapshot
/// is discarded: no acknowledgement depends on it, so the member goes on.
fn on<T>(path: &Path, done: io::Result<T>) -> Result<T, WriteError> {
    done.map_err(|error| WriteError::Disk {
        path: path.to_owned(),
        error,
    })
}

/// Adds the path to the error of a sync. A disk that fails a sync has lost accepted writes, perhaps
/// of other files, too: the member must stop.
fn synced(path: &Path, done: io::Result<()>) -> Result<(), WriteError> {
    done.map_err(|error| WriteError::Sync(Fault::io("sync", path, &error)))
}

fn corrupt<T>(text: String) -> Result<T, WriteError> {
    Err(WriteError::Corrupt(text))
}

/// Writes one snapshot.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    files: Vec<SnapshotFile>,
    /// The file being written: its position in `files`, its handle, its size. `None` before the
    /// first.
    current: Option<Growing>,
    /// Total size of all files.
    size_bytes: u64,
    crc: u32,
    has_ended: bool,
}

#[derive(Debug)]
struct Growing {
    number: usize,
    path: PathBuf,
    file: File,
    size_bytes: u64,
    unsynced_bytes: u64,
}

impl Writer {
    /// Checks the announced files and creates the folder, which must not exist.
    pub(super) fn create(dir: &Path, files: Vec<SnapshotFile>) -> Result<Writer, WriteError> {
        check_names(&files)?;
        on(dir, fs::DirBuilder::new().mode(0o700).create(dir))?;
        Ok(Writer {
            dir: dir.to_owned(),
            files,
            current: None,
            size_bytes: 0,
            crc: 0,
            has_ended: false,
        })
    }

    /// Processes the next chunk.
    pub(super) fn take(&mut self, chunk: Chunk) -> Result<(), WriteError> {
        if self.has_ended {
            return corrupt("something follows the end".to_owned());
        }
        match chunk {
            Chunk::Start(_) => corrupt("a second start".to_owned()),
            Chunk::Data(data) => self.write(&data),
            Chunk::End(end) => self.end(&end),
        }
    }

    /// Ends the stream. Syncs the folder's entries, and its own entry in its parent.
    pub(super) fn finish(self) -> Result<(), WriteError> {
        if !self.has_ended {
            return Err(WriteError::Short);
        }
        let folders = [Some(self.dir.as_path()), self.dir.parent()];
        for folder in folders.into_iter().flatten() {
            let opened = on(folder, File::open(folder))?;
            synced(folder, opened.sync_all())?;
        }
        Ok(())
    }

    fn write(&mut self, piece: &SnapshotData) -> Result<(), WriteError> {
        let number = usize::try_from(piece.file).unwrap_or(usize::MAX);
        let Some(announced) = self.files.get(number).cloned() else {
            return corrupt(format!("file {number} was not announced"));
        };
        if crc32c::crc32c(&piece.data) != piece.crc32c {
            return corrupt(format!(
                "{} at {}: the checksum is wrong",
                announced.name, piece.offset_bytes
            ));
        }
        self.advance(number)?;
        let Some(current) = self.current.as_mut().filter(|file| file.number == number) else {
            return corrupt(format!("{} arrives after a later file", announced.name));
        };
        let piece_bytes = piece.data.len() as u64;
        let left_bytes = announced.size_bytes - current.size_bytes;
        if piece.offset_bytes != current.size_bytes || piece_bytes > left_bytes {
            return corrupt(format!(
                "{} has {} of {} bytes, and {piece_bytes} at {} do not fit",
                announced.name, current.size_bytes, announced.size_bytes, piece.offset_bytes
            ));
        }
        current.append(&piece.data)?;
        self.size_bytes += piece_bytes;
        self.crc = crc32c::crc32c_append(self.crc, &piece.data);
        Ok(())
    }

    fn end(&mut self, end: &SnapshotEnd) -> Result<(), WriteError> {
        self.advance(self.files.len())?;
        if (end.size_bytes, end.crc32c) != (self.size_bytes, self.crc) {
            return corrupt(format!(
                "{} bytes arrived and {} were sent, or their checksum is wrong",
                self.size_bytes, end.size_bytes
            ));
        }
        self.has_ended = true;
        Ok(())
    }

    /// Moves on to the file with this number: all files before it must be complete; files without
    /// content are created here. The number after the last file completes all.
    fn advance(&mut self, number: usize) -> Result<(), WriteError> {
        loop {
            let next = match &self.current {
                Some(current) if current.number >= number => return Ok(()),
                Some(current) => {
                    let announced = &self.files[current.number];
                    if current.size_bytes != announced.size_bytes {
                        return corrupt(format!(
                            "{} ends at {} of {} bytes",
                            announced.name, current.size_bytes, announced.size_bytes
                        ));
                    }
                    synced(&current.path, current.file.sync_all())?;
                    current.number + 1
                }
                None => 0,
            };
            let Some(announced) = self.files.get(next) else {
                return Ok(());
            };
            let path = self.dir.join(&announced.name);
            let file = on(&path, File::create_new(&path))?;
            self.current = Some(Growing {
                number: next,
                path,
                file,
                size_bytes: 0,
                unsynced_bytes: 0,
            });
        }
    }
}

impl Growing {
    fn append(&mut self, data: &[u8]) -> Result<(), WriteError> {
        on(&self.path, self.file.write_all(data))?;
        self.size_bytes += data.len() as u64;
        self.unsynced_bytes += data.len() as u64;
        if self.unsynced_bytes >= SYNC_AFTER_BYTES {
            synced(&self.path, self.file.sync_data())?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }
}

/// Checks that names are bare file names, each of which occurs once.
fn check_names(files: &[SnapshotFile]) -> Result<(), WriteError> {
    let mut names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    for name in &names {
        let is_bare = !name.is_empty()
            && !name.starts_with('.')
            && name.len() <= NAME_BYTES_MAX
            && !name.contains(['/', '\\', '\0']);
        if !is_bare {
            return corrupt(format!("{name:?} is not the name of a file of a snapshot"));
        }
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => corrupt(format!("{:?} is announced twice", twice[0])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size_bytes: u64) -> SnapshotFile {
        SnapshotFile {
            name: name.to_owned(),
            size_bytes,
        }
    }

    fn data(file: u32, offset_bytes: u64, text: &'static str) -> Chunk {
        Chunk::Data(SnapshotData {
            file,
            offset_bytes,
            data: text.into(),
            crc32c: crc32c::crc32c(text.as_bytes()),
        })
    }

    fn end(text: &str) -> Chunk {
        Chunk::End(SnapshotEnd {
            size_bytes: text.len() as u64,
            crc32c: crc32c::crc32c(text.as_bytes()),
        })
    }

    fn write(files: Vec<SnapshotFile>, chunks: Vec<Chunk>) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("state.1.1");
        let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
        let written = Writer::create(&dir, files).and_then(|mut writer| {
            chunks
                .into_iter()
                .try_for_each(|chunk| writer.take(chunk))?;
            writer.finish()
        });
        written.map_err(|error| error.to_string())?;
        let contents = names.iter().map(|name| fs::read_to_string(dir.join(name)));
        contents
            .map(|text| text.map_err(|e| e.to_string()))
            .collect()
    }

    #[test]
    fn files_are_written_in_pieces_and_in_order() {
        let files = vec![
            file("empty", 0),
            file("a", 4),
            file("b", 1),
            file("last", 0),
        ];
        let chunks = vec![
            data(1, 0, "ab"),
            data(1, 2, "cd"),
            data(2, 0, "e"),
            end("abcde"),
        ];
        let contents = ["", "abcd", "e", ""].map(str::to_owned).to_vec();
        assert_eq!(write(files, chunks), Ok(contents));
        assert_eq!(write(vec![], vec![end("")]), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let flipped = match data(0, 0, "ab") {
            Chunk::Data(piece) => Chunk::Data(SnapshotData {
                data: "aB".into(),
                ..piece
            }),
            other => other,
        };
        for (chunks, reason) in [
            (vec![flipped], "a at 0: the checksum is wrong"),
            (vec![data(0, 0, "ab")], "the end is missing"),
            (vec![data(0, 0, "a"), end("a")], "a ends at 1 of 2 bytes"),
            (
                vec![data(0, 0, "ab"), end("aX")],
                "2 bytes arrived and 2 were sent, or their checksum is wrong",
            ),
            (
                vec![data(0, 1, "b")],
                "a has 0 of 2 bytes, and 1 at 1 do not fit",
            ),
            (
                vec![data(0, 0, "abc")],
                "a has 0 of 2 bytes, and 3 at 0 do not fit",
            ),
            (vec![data(1, 0, "a")], "file 1 was not announced"),
            (
                vec![data(0, 0, "ab"), end("ab"), end("ab")],
                "something follows the end",
            ),
        ] {
            assert_eq!(write(vec![file("a", 2)], chunks), Err(reason.to_owned()));
        }
        let two = vec![file("a", 0), file("b", 1)];
        assert_eq!(
            write(two, vec![data(1, 0, "b"), data(0, 0, "")]),
            Err("a arrives after a later file".to_owned())
        );
    }

    #[test]
    fn names_stay_in_the_folder() {
        for name in ["", "..", "a/b", "/etc/passwd", ".hidden", "a\\b"] {
            let written = write(vec![file(name, 0)], vec![end("")]);
            assert!(
                written.is_err_and(|text| text.contains("not the name")),
                "{name}"
            );
        }
        let twice = write(vec![file("a", 0), file("a", 0)], vec![]);
        assert_eq!(twice, Err("\"a\" is announced twice".to_owned()));
    }
}
