//! `--auto-compaction-mode` and `--auto-compaction-retention`, by etcd's rules: a number without a
//! unit means hours in one mode and revisions in the other, and anything else is a duration.

use std::time::Duration;

use super::ConfigError;
use super::raw::ClusteringFlags;
use crate::duration::parse_duration;

const MODE: &str = "auto-compaction-mode";
const RETENTION: &str = "auto-compaction-retention";

/// Lower bound of the period. The compactor samples the revision every tenth of the period, and
/// timers have a resolution of a millisecond: with a shorter period the samples would not be evenly
/// spaced.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

/// History that automatic compaction keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Every revision that was current within this time.
    Periodic(Duration),
    /// This many of the latest revisions; at least one.
    Revision(i64),
}

/// Parses both flags. Returns `None` if the retention is zero.
pub(super) fn check_auto_compaction(
    flags: &ClusteringFlags,
) -> Result<Option<AutoCompaction>, ConfigError> {
    let text = match flags.auto_compaction_retention.as_str() {
        // The same as not given: manifests disable the flag this way.
        "" => "0",
        text => text,
    };
    // The mode is checked even if a retention of zero makes it meaningless, as in etcd, so that a
    // typing error is reported at once.
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
    // etcd accepts a duration in both modes, and counts its nanoseconds in the mode `revision`.
    // Here that is an error.
    if by_revision {
        let revisions: i64 = text.parse().map_err(|_| refuse())?;
        return match revisions {
            0 => Ok(None),
            1.. => Ok(Some(AutoCompaction::Revision(revisions))),
            _ => Err(refuse()),
        };
    }
    let period = match text.parse::<u64>() {
        // Through a duration, so that the same upper bound applies.
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
