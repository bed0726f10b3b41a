//! Which folder holds the state: changed in one step when a snapshot from the leader takes the
//! place of what a member had.
//!
//! A member's folder has its state in `state`, until the first snapshot is installed. A snapshot is
//! received into a folder of its own, `state.<something>`, and put in place by naming that folder
//! in the file `STATE`, with the position the snapshot is at:
//!
//! ```text
//! state.4711.2 index 4711 term 3
//! ```
//!
//! The file is replaced by a rename, so at every moment one folder is the state, whole. The one
//! before stays readable for those who are reading it, and is removed with the last of them, or by
//! the next start, which removes every `state` folder that is not named.
//!
//! The raft log follows ([`crate::log::Log::restore`]). A member that crashed between the two finds
//! that its log does not have the position named in the file, and repeats that call.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::fault::Fault;
use crate::files;

const FILE: &str = "STATE";
const FIRST: &str = "state";
const BYTES_MAX: usize = 256;

/// Where the state is, and what it began with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub dir: PathBuf,
    /// Index and term of the snapshot it began with, if it began with one.
    pub snapshot: Option<(u64, u64)>,
}

/// The place of the state in a member's folder.
///
/// # Errors
/// [`Fault::Damaged`] when the file says nothing readable.
pub fn current(member_dir: &Path) -> Result<Place, Fault> {
    let file = member_dir.join(FILE);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Ok(Place {
                dir: member_dir.join(FIRST),
                snapshot: None,
            });
        }
        Err(e) => return Err(Fault::io("read", &file, &e)),
    };
    let (name, index, term) =
        parse(&text).ok_or_else(|| Fault::damaged(&file, "it does not name a folder"))?;
    let dir = member_dir.join(name);
    if !dir.is_dir() {
        let detail = format!("it names {name:?}, which is not there");
        return Err(Fault::damaged(&file, detail));
    }
    Ok(Place {
        dir,
        snapshot: Some((index, term)),
    })
}

/// Makes `dir`, a folder beside the present one with a whole and synced state at this position, the
/// place of the state. Durable when it returns.
///
/// # Errors
/// When the file cannot be written; the place is then the old one or the new one.
pub fn change(member_dir: &Path, dir: &Path, index: u64, term: u64) -> Result<(), Fault> {
    let name = dir.file_name().and_then(|name| name.to_str());
    let name = name.expect("the folder was named by us");
    files::sync_folder(dir)?;
    files::sync_folder(member_dir)?;
    let text = format!("{name} index {index} term {term}\n");
    files::write_whole(&member_dir.join(FILE), text.as_bytes())
}

/// Removes what is left of states that are not in place: to be called by whoever holds the lock of
/// the state that is.
///
/// # Errors
/// When a folder cannot be removed.
pub fn sweep(member_dir: &Path) -> Result<(), Fault> {
    let kept = current(member_dir)?.dir;
    let entries = fs::read_dir(member_dir).map_err(|e| Fault::io("read", member_dir, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| Fault::io("read", member_dir, &e))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_state = name.is_some_and(|name| name == FIRST || name.starts_with("state."));
        if is_state && path != kept {
            files::remove_folder(&path)?;
        }
    }
    Ok(())
}

fn parse(text: &str) -> Option<(&str, u64, u64)> {
    let line = text.get(..text.len().min(BYTES_MAX))?.strip_suffix('\n')?;
    let mut words = line.split(' ');
    let name = words.next().filter(|name| name.starts_with("state."))?;
    let index = (words.next()? == "index").then(|| words.next())??;
    let term = (words.next()? == "term").then(|| words.next())??;
    let plain = !name.contains('/') && words.next().is_none();
    plain.then_some((name, index.parse().ok()?, term.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_moves_in_one_step_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a folder");
        let member = dir.path();
        for name in ["state", "state.9.1", "state.12.1", "log"] {
            fs::create_dir(member.join(name)).expect("a folder");
        }
        assert_eq!(current(member).expect("fresh").snapshot, None);
        change(member, &member.join("state.9.1"), 9, 3).expect("changes");
        let place = current(member).expect("named");
        assert_eq!(place.dir, member.join("state.9.1"));
        assert_eq!(place.snapshot, Some((9, 3)));
        sweep(member).expect("sweeps");
        let mut left: Vec<_> = fs::read_dir(member)
            .expect("reads")
            .map(|entry| entry.expect("reads").file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["STATE", "log", "state.9.1"]);
    }

    #[test]
    fn a_file_that_names_nothing_is_damage() {
        let dir = tempfile::tempdir().expect("a folder");
        for text in [
            "",
            "state.1 index 1 term x\n",
            "state.1 index 1 term 1\n",
            "../x\n",
        ] {
            fs::write(dir.path().join(FILE), text).expect("writes");
            assert!(
                matches!(current(dir.path()), Err(Fault::Damaged { .. })),
                "{text}"
            );
        }
    }
}
