//! `--auto-compaction-mode` and `--auto-compaction-retention`, read by etcd's rules: a bare number
//! is hours in one mode and revisions in the other, anything else is a duration.

use std::time::Duration;

use super::ConfigError;
use super::duration::parse_duration;
use super::raw::ClusteringFlags;

const MODE: &str = "auto-compaction-mode";
const RETENTION: &str = "auto-compaction-retention";

/// Revisions are noted every tenth of the period, and timers have a grain of a millisecond: with
/// less than this the tenths would not be even.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

/// How much history is kept when a member compacts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// What was current within this time.
    Periodic(Duration),
    /// So many of the latest revisions; at least one.
    Revision(i64),
}

/// Reads both flags; `None` if the retention is zero.
pub(super) fn check_auto_compaction(
    flags: &ClusteringFlags,
) -> Result<Option<AutoCompaction>, ConfigError> {
    let text = match flags.auto_compaction_retention.as_str() {
        // As if it were not given, which is how manifests turn it off.
        "" => "0",
        text => text,
    };
    // Checked although a retention of zero makes it meaningless: etcd does so, and a typing error
    // shows at once.
    let (by_revision, reason) = match flags.auto_compaction_mode.as_str() {
        "periodic" => (false, "give a number of hours, or a duration such as 30m"),
        "revision" => (true, "give the number of revisions to keep"),
        other => {
            return Err(ConfigError::invalid(
                MODE,
                other,
                "write periodic or revision",
            ));
        }
    };
    let refuse = || ConfigError::invalid(RETENTION, text, reason);
    // etcd takes a duration in either mode, and in the mode `revision` counts its nanoseconds.
    if by_revision {
        let revisions: i64 = text.parse().map_err(|_| refuse())?;
        return match revisions {
            0 => Ok(None),
            1.. => Ok(Some(AutoCompaction::Revision(revisions))),
            _ => Err(refuse()),
        };
    }
    let period = match text.parse::<u64>() {
        // No longer than etcd's own durations may be.
        Ok(hours) => parse_duration(&format!("{hours}h")),
        Err(_) => parse_duration(text),
    };
    let period = period.ok_or_else(refuse)?;
    if period.is_zero() {
        return Ok(None);
    }
    if period < SHORTEST_PERIOD {
        let reason = format!("give at least {} ms", SHORTEST_PERIOD.as_millis());
        return Err(ConfigError::invalid(RETENTION, text, reason));
    }
    Ok(Some(AutoCompaction::Periodic(period)))
}
