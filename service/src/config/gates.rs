//! `--feature-gates`: etcd's switches for what is new there.
//!
//! The names are known here so that a misspelt one is an error, as it is in etcd. Two of them mean
//! something. With `LeaseCheckpoint` the time a lease has left survives a change of leader.
//! In etcd it takes a second one, `LeaseCheckpointPersist`, for that time to survive a restart as
//! well; here the first does both, and the second asks for nothing more.
//!
//! With `SetMemberLocalAddr` a member connects to the others from the address that it advertises to
//! them, for networks that tell members by it. etcd's rule: of the sorted
//! `--initial-advertise-peer-urls` the first whose host is an address, neither loopback nor
//! unspecified; if there is none the system chooses, as without the gate.

use std::net::IpAddr;

use super::raw::parse_bool;
use super::url::MemberUrl;
use super::{ConfigError, Notice, NoticeLevel};

const FLAG: &str = "feature-gates";
const LEASE_CHECKPOINT: &str = "LeaseCheckpoint";
const LEASE_CHECKPOINT_PERSIST: &str = "LeaseCheckpointPersist";
const SET_MEMBER_LOCAL_ADDR: &str = "SetMemberLocalAddr";

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
    (SET_MEMBER_LOCAL_ADDR, None),
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

/// The gates that have an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gates {
    /// Whether the time leases have left is to be checkpointed.
    pub(super) lease_checkpoint: bool,
    /// Whether connections to other members are made from the address advertised to them.
    pub(super) set_member_local_addr: bool,
}

pub(super) fn check_feature_gates(
    text: &str,
    notices: &mut Vec<Notice>,
) -> Result<Gates, ConfigError> {
    let mut gates = Gates::default();
    let mut persist = false;
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
            Some((gate, None)) if *gate == LEASE_CHECKPOINT => gates.lease_checkpoint = value,
            Some((gate, None)) if *gate == SET_MEMBER_LOCAL_ADDR => {
                gates.set_member_local_addr = value;
            }
            Some((_, None)) => persist = value,
        }
    }
    if persist && !gates.lease_checkpoint {
        let reason = format!("{LEASE_CHECKPOINT_PERSIST} needs {LEASE_CHECKPOINT}=true as well");
        return Err(ConfigError::invalid(FLAG, text, reason));
    }
    Ok(gates)
}

/// The address to connect to other members from, by the rule in the module's head.
pub(super) fn peer_local_address(
    advertised: &[MemberUrl],
    notices: &mut Vec<Notice>,
) -> Option<IpAddr> {
    let mut sorted: Vec<_> = advertised.iter().collect();
    sorted.sort();
    let addresses = sorted
        .iter()
        .filter_map(|url| url.host().parse::<IpAddr>().ok());
    let reachable = |address: &IpAddr| {
        let address = address.to_canonical();
        !address.is_loopback() && !address.is_unspecified()
    };
    let found = addresses.into_iter().find(reachable);
    notices.push(match found {
        Some(address) => Notice {
            level: NoticeLevel::Info,
            text: format!(
                "--{FLAG} has {SET_MEMBER_LOCAL_ADDR}: connections to other members are made from \
                 {address}"
            ),
        },
        None => Notice {
            level: NoticeLevel::Warn,
            text: format!(
                "--{FLAG} has {SET_MEMBER_LOCAL_ADDR}, and no host in \
                 --initial-advertise-peer-urls is an address that other machines can reach: the \
                 system chooses the address to connect from"
            ),
        },
    });
    found
}
