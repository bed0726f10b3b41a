//! The kept inputs: seeds, each with a story in `seeds/README.md`, and the corpora found by long
//! runs.

use std::fs;
use std::path::{Path, PathBuf};

/// An input from a file.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The folder of a target's seeds.
pub fn seeds(target: &str) -> PathBuf {
    folder("seeds", target)
}

/// The folder of a target's corpus.
pub fn corpus(target: &str) -> PathBuf {
    folder("corpus", target)
}

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(kind)
        .join(target)
}

/// All kept inputs of a target, ordered by name.
pub fn kept(target: &str) -> Vec<Kept> {
    let mut kept = inputs(&seeds(target));
    kept.extend(inputs(&corpus(target)));
    kept
}

/// The files of a folder, or the single file.
pub fn inputs(path: &Path) -> Vec<Kept> {
    let mut paths = match fs::read_dir(path) {
        Ok(entries) => entries
            .map(|entry| entry.expect("the folder can be read").path())
            .collect(),
        Err(_) if path.is_file() => vec![path.to_owned()],
        Err(_) => Vec::new(),
    };
    paths.sort();
    let read = |path: PathBuf| Kept {
        bytes: fs::read(&path).expect("the file can be read"),
        path,
    };
    paths.into_iter().map(read).collect()
}
