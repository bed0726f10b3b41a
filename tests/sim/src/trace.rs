//! What happened in a run, hashed, and printed if somebody reads it.

use std::fmt;

/// The trace of a run.
pub struct Trace {
    /// FNV-1a of all lines, 64 bits.
    pub hash: u64,
    /// The step that is taken.
    pub step: u32,
    is_printed: bool,
}

impl Trace {
    /// Nothing has happened. Prints what happens if `is_printed`.
    pub fn new(is_printed: bool) -> Trace {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            step: 0,
            is_printed,
        }
    }

    /// Adds a line.
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        let line = what.to_string();
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.is_printed {
            print(&format!("{:>6} {line}", self.step));
        }
    }
}

#[allow(clippy::print_stdout, reason = "a trace is what the caller asked for")]
fn print(line: &str) {
    println!("{line}");
}
