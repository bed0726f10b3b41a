//! A state store as files that can be carried: for backups, and for members too far behind for the
//! log.
//!
//! A snapshot is a folder: `state/`, a checkpoint of the engine, and `SNAPSHOT`, a text that names
//! every file with its size and CRC-32C, and the log position the state is at. The text is written
//! last and ends with its own checksum, so a folder with a good `SNAPSHOT` is complete.
//!
//! [`restore`] replaces a store. It copies beside it, checking while it copies, and then swaps by
//! renaming:
//!
//! ```text
//! 1  state.incoming  <- copied, checked, synced
//! 2  state           -> state.outgoing
//! 3  state.incoming  -> state
//! 4  state.outgoing  removed
//! ```
//!
//! A crash anywhere leaves the old store or the new one whole, and [`finish_restore`], which must
//! run before the store is opened, brings either back into place: without `state`, step 2 was done
//! and `state.incoming` is complete.
//!
//! The log follows the state ([`crate::log::Log::restore`]): a member that starts with its state
//! ahead of its log died between the two and repeats that call.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::files;
use crate::layout::FORMAT_VERSION;

const MANIFEST: &str = "SNAPSHOT";
const STATE: &str = "state";
/// The manifest of 100,000 files is smaller; a larger one is not ours.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;
const COPY_BYTES: usize = 1 << 20;

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The format version of the state store in it.
    pub format_version: u32,
    /// The last log entry that is applied in it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// Its files, by name.
    pub files: Vec<FileRecord>,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRecord {
    /// Its name in `state/`; there are no folders in there.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// CRC-32C of its contents.
    pub crc: u32,
}

/// Writes a snapshot of `engine`, whose last applied entry is `index` of `term`, into the new
/// folder `dir`. The caller is the one thread that writes the engine, so that nothing is applied
/// meanwhile.
///
/// # Errors
/// When the engine or the file system fails. `dir` may then hold an incomplete snapshot, which
/// [`verify`] refuses.
pub fn write(engine: &dyn Engine, dir: &Path, index: u64, term: u64) -> Result<Manifest, Fault> {
    fs::create_dir(dir).map_err(|e| Fault::io("create", dir, &e))?;
    let state = dir.join(STATE);
    engine.checkpoint(&state)?;
    let mut files = Vec::new();
    for name in names(&state)? {
        let path = state.join(&name);
        let (size, crc) = stream(&path, |_| Ok(()))?;
        File::open(&path)
            .and_then(|f| f.sync_all())
            .map_err(|e| Fault::io("sync", &path, &e))?;
        files.push(FileRecord { name, size, crc });
    }
    files::sync_folder(&state)?;
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        index,
        term,
        files,
    };
    files::write_whole(&dir.join(MANIFEST), manifest.encode().as_bytes())?;
    files::sync_parent(dir)?;
    Ok(manifest)
}

/// Reads every file of the snapshot in `dir` and compares it with the manifest.
///
/// # Errors
/// [`Fault::Damaged`] when a file is missing, changed or too many, [`Fault::Version`] for another
/// format.
pub fn verify(dir: &Path) -> Result<Manifest, Fault> {
    let manifest = read_manifest(dir)?;
    let state = dir.join(STATE);
    for file in &manifest.files {
        let path = state.join(&file.name);
        file.check(&path, stream(&path, |_| Ok(()))?)?;
    }
    Ok(manifest)
}

/// Replaces the closed store in `store` (which may be absent) by the snapshot in `dir`, which stays
/// as it is.
///
/// # Errors
/// As [`verify`]; the old store is then untouched. After a failed rename [`finish_restore`]
/// decides.
pub fn restore(dir: &Path, store: &Path) -> Result<Manifest, Fault> {
    finish_restore(store)?;
    let manifest = read_manifest(dir)?;
    let incoming = incoming(store);
    fs::create_dir_all(&incoming).map_err(|e| Fault::io("create", &incoming, &e))?;
    for file in &manifest.files {
        let (from, to) = (dir.join(STATE).join(&file.name), incoming.join(&file.name));
        let mut copy = File::create(&to).map_err(|e| Fault::io("create", &to, &e))?;
        let read = stream(&from, |bytes| {
            copy.write_all(bytes)
                .map_err(|e| Fault::io("write", &to, &e))
        })?;
        file.check(&from, read)?;
        copy.sync_all().map_err(|e| Fault::io("sync", &to, &e))?;
    }
    files::sync_folder(&incoming)?;
    files::sync_parent(&incoming)?;
    if store.exists() {
        files::rename(store, &outgoing(store))?;
    }
    files::rename(&incoming, store)?;
    files::remove_folder(&outgoing(store))?;
    Ok(manifest)
}

/// Completes or undoes a [`restore`] that a crash cut short. Costs nothing when there was none.
///
/// # Errors
/// When the file system fails.
pub fn finish_restore(store: &Path) -> Result<(), Fault> {
    let (incoming, outgoing) = (incoming(store), outgoing(store));
    if !store.exists() && outgoing.exists() {
        files::rename(&incoming, store)?;
    }
    files::remove_folder(&incoming)?;
    files::remove_folder(&outgoing)
}

fn incoming(store: &Path) -> PathBuf {
    store.with_extension("incoming")
}

fn outgoing(store: &Path) -> PathBuf {
    store.with_extension("outgoing")
}

/// The names of the files in `folder`, in order.
fn names(folder: &Path) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Fault::io("read", folder, &e))? {
        let name = entry
            .map_err(|e| Fault::io("read", folder, &e))?
            .file_name();
        let name = name.into_string().map_err(|name| {
            Fault::damaged(
                folder,
                format!("{} is not a file of a snapshot", name.display()),
            )
        })?;
        names.push(name);
    }
    names.sort();
    Ok(names)
}

/// Reads a file through, giving each piece to `take`; returns size and CRC-32C.
fn stream(
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(u64, u32), Fault> {
    let mut file = File::open(path).map_err(|e| Fault::io("open", path, &e))?;
    let mut buffer = vec![0; COPY_BYTES];
    let (mut size, mut crc) = (0, 0);
    loop {
        let read = file
            .read(&mut buffer)
            .map_err(|e| Fault::io("read", path, &e))?;
        if read == 0 {
            return Ok((size, crc));
        }
        let piece = &buffer[..read];
        (size, crc) = (size + read as u64, crc32c::crc32c_append(crc, piece));
        take(piece)?;
    }
}

fn read_manifest(dir: &Path) -> Result<Manifest, Fault> {
    let path = dir.join(MANIFEST);
    let file = File::open(&path).map_err(|e| Fault::io("open", &path, &e))?;
    let mut text = String::new();
    let read = file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text);
    let manifest = match read {
        Ok(_) => Manifest::decode(&text),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => None,
        Err(e) => return Err(Fault::io("read", &path, &e)),
    };
    let manifest = manifest.ok_or_else(|| Fault::damaged(&path, "the manifest does not check"))?;
    if manifest.format_version != FORMAT_VERSION {
        let advice = "restore it with the release that made it";
        let (path, found) = (dir.to_owned(), manifest.format_version);
        return Err(Fault::Version {
            path,
            found,
            expected: FORMAT_VERSION,
            advice,
        });
    }
    let listed: Vec<_> = manifest
        .files
        .iter()
        .map(|file| file.name.clone())
        .collect();
    if names(&dir.join(STATE))? != listed {
        return Err(Fault::damaged(
            dir,
            "the files are not those the manifest names",
        ));
    }
    Ok(manifest)
}

impl FileRecord {
    fn check(&self, path: &Path, (size, crc): (u64, u32)) -> Result<(), Fault> {
        if size != self.size {
            let detail = format!("{size} bytes long, {} in the manifest", self.size);
            return Err(Fault::damaged(path, detail));
        }
        match crc == self.crc {
            true => Ok(()),
            false => Err(Fault::damaged(
                path,
                "the checksum is not the one in the manifest",
            )),
        }
    }
}

impl Manifest {
    /// The text of `SNAPSHOT`.
    fn encode(&self) -> String {
        let mut text = format!("conclave snapshot {}\n", self.format_version);
        text += &format!("applied {} {}\n", self.index, self.term);
        for file in &self.files {
            text += &format!("file {} {} {:08x}\n", file.name, file.size, file.crc);
        }
        let crc = crc32c::crc32c(text.as_bytes());
        text + &format!("end {crc:08x}\n")
    }

    fn decode(text: &str) -> Option<Manifest> {
        let (body, end) = text.strip_suffix('\n')?.rsplit_once("end ")?;
        if u32::from_str_radix(end, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines();
        let format_version = lines
            .next()?
            .strip_prefix("conclave snapshot ")?
            .parse()
            .ok()?;
        let (index, term) = lines.next()?.strip_prefix("applied ")?.split_once(' ')?;
        let (index, term) = (index.parse().ok()?, term.parse().ok()?);
        let files = lines.map(FileRecord::decode).collect::<Option<Vec<_>>>()?;
        Some(Manifest {
            format_version,
            index,
            term,
            files,
        })
    }
}

impl FileRecord {
    fn decode(line: &str) -> Option<FileRecord> {
        let mut words = line.strip_prefix("file ")?.split(' ');
        let (name, size, crc) = (words.next()?, words.next()?, words.next()?);
        let plain = !name.contains('/') && name != "." && name != "..";
        let (size, crc) = (size.parse().ok()?, u32::from_str_radix(crc, 16).ok()?);
        (plain && words.next().is_none()).then(|| FileRecord {
            name: name.to_owned(),
            size,
            crc,
        })
    }
}

#[cfg(test)]
mod tests;
