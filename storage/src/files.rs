//! Writes of files that a crash leaves whole or absent: the contents go to a temporary file, which
//! is synced and renamed, and then the folder is synced.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::fault::Fault;

/// Creates a folder and its missing parents, accessible to this process's user only, because a
/// member's files hold its clients' secrets. An existing folder is left as it is.
///
/// # Errors
/// [`Fault::Engine`] when the folder cannot be created.
pub fn create_private_folder(folder: &Path) -> Result<(), Fault> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|e| Fault::io("create", folder, &e))
}

/// Replaces the contents of `path`. After a crash the file has the old contents or the new.
pub(crate) fn write_whole(path: &Path, contents: &[u8]) -> Result<(), Fault> {
    let aside = path.with_extension("tmp");
    let mut file = File::create(&aside).map_err(|e| Fault::io("create", &aside, &e))?;
    file.write_all(contents)
        .map_err(|e| Fault::io("write", &aside, &e))?;
    file.sync_all().map_err(|e| Fault::io("sync", &aside, &e))?;
    rename(&aside, path)
}

/// Renames a file and makes the new name durable.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Fault> {
    fs::rename(from, to).map_err(|e| Fault::io("rename", from, &e))?;
    sync_parent(to)
}

/// Makes the names in the folder that holds `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), Fault> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Fault> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|e| Fault::io("sync", folder, &e))
}

/// Removes a folder with its contents. An absent folder is not an error.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), Fault> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Fault::io("remove", folder, &e)),
        _ => Ok(()),
    }
}
