//! `--skip-log-entry`: log entries to go on without.

use conclave_core::applier::SkippedEntry;

use super::ConfigError;

const FLAG: &str = "skip-log-entry";

/// Entries as the flag has them, with commas between them.
pub(super) fn check_skipped_entries(text: &str) -> Result<Vec<SkippedEntry>, ConfigError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(one).collect()
}

fn one(text: &str) -> Result<SkippedEntry, ConfigError> {
    let entry = text.split_once(':').and_then(|(index, hash)| {
        // A hash is eight digits in the log line, so that one with a digit missing is none.
        let is_whole = hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = u32::from_str_radix(hash, 16).ok().filter(|_| is_whole)?;
        let index = index.parse().ok()?;
        Some(SkippedEntry { index, hash })
    });
    entry.ok_or_else(|| {
        let reason = "write INDEX:HASH as the member that stopped at the entry printed it";
        ConfigError::invalid(FLAG, text, reason)
    })
}
