//! `--feature-gates`: etcd's switches for what is new there.
//!
//! The names are known here so that a misspelt one is an error, as it is in etcd. One of them means
//! something: `LeaseCheckpoint`, with which the time a lease has left survives a change of leader.
//! In etcd it takes a second one, `LeaseCheckpointPersist`, for that time to survive a restart as
//! well; here the first does both, and the second asks for nothing more.

use super::raw::parse_bool;
use super::{ConfigError, Notice, NoticeLevel};

const FLAG: &str = "feature-gates";
const LEASE_CHECKPOINT: &str = "LeaseCheckpoint";
const LEASE_CHECKPOINT_PERSIST: &str = "LeaseCheckpointPersist";

/// The gates of etcd 3.7, and why one that is not ours can be ignored.
const GATES: &[(&str, Option<&str>)] = &[
    ("CompactHashCheck", Some(NO_COMPARISON)),
    (
        "FastLeaseKeepAlive",
        Some("a renewal never waits for the disk"),
    ),
    ("InitialCorruptCheck", Some(NO_COMPARISON)),
    (LEASE_CHECKPOINT, None),
    (LEASE_CHECKPOINT_PERSIST, None),
    (
        "PriorityRequest",
        Some("requests are served in the order they come"),
    ),
    (
        "SetMemberLocalAddr",
        Some("the system chooses the address to connect from"),
    ),
    (
        "StopGRPCServiceOnDefrag",
        Some("a member serves while it is defragmented"),
    ),
    (
        "TxnModeWriteWithSharedBuffer",
        Some("transactions copy no buffers"),
    ),
];
const NO_COMPARISON: &str = "the hashes of members are not compared yet";

/// Whether the time leases have left is to be checkpointed.
pub(super) fn check_feature_gates(
    text: &str,
    notices: &mut Vec<Notice>,
) -> Result<bool, ConfigError> {
    let (mut checkpoint, mut persist) = (false, false);
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let refuse = |reason: String| ConfigError::invalid(FLAG, text, reason);
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| refuse(format!("write {part:?} as {part}=true or {part}=false")))?;
        let value = parse_bool(value.trim())
            .map_err(|reason| refuse(format!("{name} is {value:?}: {reason}")))?;
        match GATES.iter().find(|(gate, _)| *gate == name) {
            None => {
                let known: Vec<&str> = GATES.iter().map(|(gate, _)| *gate).collect();
                let known = known.join(", ");
                return Err(refuse(format!("{name:?} is none of {known}")));
            }
            Some((_, Some(reason))) => notices.push(Notice {
                level: NoticeLevel::Info,
                text: format!("--{FLAG} has {name}, which is ignored: {reason}"),
            }),
            // Of a gate given twice the last counts, as with flags.
            Some((gate, None)) if *gate == LEASE_CHECKPOINT => checkpoint = value,
            Some((_, None)) => persist = value,
        }
    }
    if persist && !checkpoint {
        let reason = format!("{LEASE_CHECKPOINT_PERSIST} needs {LEASE_CHECKPOINT}=true as well");
        return Err(ConfigError::invalid(FLAG, text, reason));
    }
    Ok(checkpoint)
}
