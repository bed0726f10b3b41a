//! Damages files as a bad disk does.

use std::fs;
use std::path::{Path, PathBuf};

/// The largest file with this extension in a directory.
pub fn largest(dir: &Path, extension: &str) -> PathBuf {
    let found = files(dir, extension).into_iter();
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let largest = found.max_by_key(size);
    largest.unwrap_or_else(|| panic!("no {extension} file in {}", dir.display()))
}

/// The files with this extension in a directory, oldest first: their names are numbers.
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory of a member");
    let paths = entries.map(|entry| entry.expect("a readable directory").path());
    let is_one = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    let mut found: Vec<_> = paths.filter(is_one).collect();
    found.sort();
    found
}

/// Flips bits in the middle of a file's contents.
pub fn flip_bits(path: &Path) {
    let mut bytes = fs::read(path).expect("a readable file");
    let last = bytes.iter().rposition(|&byte| byte != 0);
    let middle = last.expect("something is written in it") / 2;
    for byte in &mut bytes[middle..middle + 16] {
        *byte ^= 0x55;
    }
    fs::write(path, bytes).expect("a writable file");
}
