//! The `VERSION` file: one line, `conclave format 2`, in the member's folder beside its two stores.
//!
//! It is checked before either store is opened, because opening may already rewrite files. A folder
//! with stores and no `VERSION` is not a new one: files were removed, or only some were copied.
//!
//! The file of an older format that this program converts ([`crate::convert`]) gets today's number
//! *before* the conversion: an older program must not open a folder that is half converted.

use std::fs;
use std::io;
use std::path::Path;

use super::{FORMAT_VERSION, OLDEST_FORMAT};
use crate::fault::Fault;
use crate::files;

const FILE: &str = "VERSION";
const WORDS: &str = "conclave format ";
/// Longer than any version that this program writes.
const BYTES_MAX: usize = 64;

/// Checks the format version of `member_dir`. Replaces an older version that this program converts
/// by its own, and creates the file when it is absent.
///
/// # Errors
/// [`Fault::Version`] for another version, [`Fault::Foreign`] for etcd's data, [`Fault::Damaged`]
/// when the file cannot be parsed or is missing beside existing stores, [`Fault::Engine`] when the
/// folder cannot be read or created.
pub fn check_or_create_version(member_dir: &Path) -> Result<(), Fault> {
    let file = member_dir.join(FILE);
    match fs::read(&file) {
        Ok(contents) => check(member_dir, &file, &contents),
        Err(e) if e.kind() == io::ErrorKind::NotFound => create(member_dir, &file),
        Err(e) => Err(Fault::io("read", &file, &e)),
    }
}

/// Checks that a folder has no data of etcd in it.
///
/// # Errors
/// [`Fault::Foreign`].
pub fn refuse_etcds(dir: &Path) -> Result<(), Fault> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = files.map(|file| file.file_name());
    let has_log = names.any(|name| {
        Path::new(&name)
            .extension()
            .is_some_and(|kind| kind == "wal")
    });
    if has_log || dir.join("snap/db").exists() {
        let path = dir.to_owned();
        return Err(Fault::Foreign { path });
    }
    Ok(())
}

fn check(member_dir: &Path, file: &Path, contents: &[u8]) -> Result<(), Fault> {
    let found = parse(contents).ok_or_else(|| {
        let start = String::from_utf8_lossy(&contents[..contents.len().min(BYTES_MAX)]);
        let start = start.escape_debug();
        let detail = format!("VERSION does not name a format: \"{start}\"");
        Fault::damaged(member_dir, detail)
    })?;
    if found == FORMAT_VERSION {
        return Ok(());
    }
    if (OLDEST_FORMAT..FORMAT_VERSION).contains(&found) {
        return write(file);
    }
    let advice = if found > FORMAT_VERSION {
        "start the newer program that wrote it"
    } else {
        "start a release that still reads it and let that one upgrade it first"
    };
    let path = member_dir.to_owned();
    Err(Fault::Version {
        path,
        found,
        expected: FORMAT_VERSION,
        advice,
    })
}

fn parse(contents: &[u8]) -> Option<u32> {
    if contents.len() > BYTES_MAX {
        return None;
    }
    std::str::from_utf8(contents)
        .ok()?
        .trim_end()
        .strip_prefix(WORDS)?
        .parse()
        .ok()
}

fn create(member_dir: &Path, file: &Path) -> Result<(), Fault> {
    // etcd's folder has the same name. A new cluster in it would look like etcd's cluster with all
    // its data lost.
    refuse_etcds(member_dir)?;
    refuse_etcds(&member_dir.join("wal"))?;
    files::create_private_folder(member_dir)?;
    for store in ["log", "state"] {
        if member_dir.join(store).exists() {
            let detail = format!("the {store} store is there and VERSION is not");
            return Err(Fault::damaged(member_dir, detail));
        }
    }
    write(file)?;
    files::sync_parent(member_dir)
}

fn write(file: &Path) -> Result<(), Fault> {
    files::write_whole(file, format!("{WORDS}{FORMAT_VERSION}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_folder_is_marked_and_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let member = dir.path().join("data/member");
        check_or_create_version(&member).unwrap();
        assert_eq!(
            fs::read_to_string(member.join(FILE)).unwrap(),
            "conclave format 2\n"
        );
        fs::create_dir(member.join("log")).unwrap();
        check_or_create_version(&member).unwrap();
    }

    #[test]
    fn data_of_etcd_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("wal/0000000000000000-0000000000000000.wal");
        fs::create_dir(dir.path().join("wal")).unwrap();
        fs::write(&log, "").unwrap();
        let fault = check_or_create_version(dir.path()).unwrap_err();
        assert!(matches!(fault, Fault::Foreign { .. }), "{fault}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // A folder of that name alone may be a place for our own log.
        fs::remove_file(&log).unwrap();
        check_or_create_version(dir.path()).unwrap();
    }

    #[test]
    fn an_older_format_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        fs::write(&file, "conclave format 1\n").unwrap();
        check_or_create_version(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "conclave format 2\n");
    }

    #[test]
    fn another_version_is_named_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        for (found, word) in [
            (FORMAT_VERSION + 1, "newer program"),
            (0, "upgrade it first"),
        ] {
            fs::write(dir.path().join(FILE), format!("{WORDS}{found}\n")).unwrap();
            let fault = check_or_create_version(dir.path()).unwrap_err();
            assert!(matches!(fault, Fault::Version { found: f, .. } if f == found));
            assert!(fault.to_string().contains(word), "{fault}");
        }
    }

    #[test]
    fn garbage_and_a_missing_file_beside_a_store_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        for garbage in [&b""[..], b"conclave format", b"\xff\xfe", &[b'1'; 1000]] {
            fs::write(dir.path().join(FILE), garbage).unwrap();
            let fault = check_or_create_version(dir.path()).unwrap_err();
            assert!(matches!(fault, Fault::Damaged { .. }), "{fault}");
        }
        fs::remove_file(dir.path().join(FILE)).unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        let fault = check_or_create_version(dir.path()).unwrap_err();
        assert!(matches!(fault, Fault::Damaged { .. }), "{fault}");
    }
}
