//! The folder that holds the state. Installing a snapshot replaces it in one step.
//!
//! A member's state is in the folder `state` until the first snapshot is installed. A snapshot is
//! received into a folder of its own, `state.<suffix>`. Writing that folder's name to the file
//! `STATE`, with the position of the snapshot, makes it the state:
//!
//! ```text
//! state.4711.2 index 4711 term 3
//! ```
//!
//! Invariants:
//!
//! * The file is replaced by a rename, so at every moment exactly one folder is the state, and it
//!   is whole.
//! * The old folder stays until its last reader is gone. The next start removes every other `state`
//!   folder ([`sweep`]).
//! * The raft log is restored after the file is written ([`crate::log::Log::restore`]). A member
//!   that crashed between the two finds, at its next start, that its log does not reach the
//!   position in the file, and repeats that call.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::fault::Fault;
use crate::files;
use crate::ids::{Index, Term};

const FILE: &str = "STATE";
const FIRST: &str = "state";
const BYTES_MAX: usize = 256;

/// The folder of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    /// Its path.
    pub dir: PathBuf,
    /// Index and term of the snapshot that was installed there, if one was.
    pub snapshot: Option<(Index, Term)>,
}

/// Returns the folder of the state of the member in `member_dir`.
///
/// # Errors
/// [`Fault::Damaged`] when the file `STATE` cannot be parsed, or names a folder that is missing.
pub fn current(member_dir: &Path) -> Result<StateDir, Fault> {
    let file = member_dir.join(FILE);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Ok(StateDir {
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
    Ok(StateDir {
        dir,
        snapshot: Some((index, term)),
    })
}

/// Makes `dir` the folder of the state. It is beside the current one and holds a whole, synced
/// state at this position. Durable when it returns.
///
/// # Errors
/// When the file cannot be written. The folder of the state is then the old one or the new one.
pub fn change(member_dir: &Path, dir: &Path, index: Index, term: Term) -> Result<(), Fault> {
    let name = dir.file_name().and_then(|name| name.to_str());
    let name = name.expect("the folder was named by us");
    files::sync_folder(dir)?;
    files::sync_folder(member_dir)?;
    let text = format!("{name} index {index} term {term}\n");
    files::write_whole(&member_dir.join(FILE), text.as_bytes())
}

/// Removes every state folder but the current one. The caller holds the lock of the current state,
/// so no other process uses the folders that are removed.
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

fn parse(text: &str) -> Option<(&str, Index, Term)> {
    let line = text.get(..text.len().min(BYTES_MAX))?.strip_suffix('\n')?;
    let mut words = line.split(' ');
    let name = words.next().filter(|name| name.starts_with("state."))?;
    let index = (words.next()? == "index").then(|| words.next())??;
    let term = (words.next()? == "term").then(|| words.next())??;
    let plain = !name.contains('/') && words.next().is_none();
    plain.then_some((name, Index(index.parse().ok()?), Term(term.parse().ok()?)))
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
        change(member, &member.join("state.9.1"), Index(9), Term(3)).expect("changes");
        let named = current(member).expect("named");
        assert_eq!(named.dir, member.join("state.9.1"));
        assert_eq!(named.snapshot, Some((Index(9), Term(3))));
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
