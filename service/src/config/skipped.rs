//! `--skip-log-entry`: log entries to skip.

use conclave_core::applier::SkippedEntry;
use conclave_storage::Index;

use super::ConfigError;

const FLAG: &str = "skip-log-entry";

/// Parses a list of entries, separated by commas.
pub(super) fn check_skipped_entries(text: &str) -> Result<Vec<SkippedEntry>, ConfigError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(one).collect()
}

fn one(text: &str) -> Result<SkippedEntry, ConfigError> {
    let entry = text.split_once(':').and_then(|(index, hash)| {
        // The log line always prints eight digits, so fewer digits are a copying error.
        let is_whole = hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = u32::from_str_radix(hash, 16).ok().filter(|_| is_whole)?;
        let index = Index(index.parse().ok()?);
        Some(SkippedEntry { index, hash })
    });
    entry.ok_or_else(|| {
        let reason = "write INDEX:HASH as the member that stopped at the entry printed it";
        ConfigError::invalid(FLAG, text, reason)
    })
}
