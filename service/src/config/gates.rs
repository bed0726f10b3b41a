//! `--feature-gates`: etcd's switches for new features.
//!
//! All of etcd's names are known here, so that a misspelt name is an error, as in etcd. Two of the
//! gates have an effect. With `LeaseCheckpoint` the remaining time of a lease survives a change of
//! leader. In etcd the remaining time survives a restart only if a second gate,
//! `LeaseCheckpointPersist`, is set as well. Here the first gate does both, and the second has no
//! further effect.
//!
//! With `SetMemberLocalAddr` a member connects to the others from the address that it advertises to
//! them, for networks that identify members by it. The rule is etcd's: of the sorted
//! `--initial-advertise-peer-urls` the first whose host is an address that is neither loopback nor
//! unspecified. If there is no such URL, the system chooses the address, as without the gate.

use std::net::IpAddr;

use super::raw::parse_bool;
use super::url::MemberUrl;
use super::{ConfigError, Notice, NoticeLevel};

const FLAG: &str = "feature-gates";
const LEASE_CHECKPOINT: &str = "LeaseCheckpoint";
const LEASE_CHECKPOINT_PERSIST: &str = "LeaseCheckpointPersist";
const SET_MEMBER_LOCAL_ADDR: &str = "SetMemberLocalAddr";

/// etcd 3.7's gates. A gate with a reason has no effect here, and the reason says why.
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
    /// Whether the remaining time of leases is checkpointed.
    pub(super) lease_checkpoint: bool,
    /// Whether connections to other members use the advertised address.
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
            // If a gate is given twice, the last value counts, as with flags.
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

/// Returns the local address of connections to other members, by the rule at the head of this
/// module.
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
        None => Notice::warning(format!(
            "--{FLAG} has {SET_MEMBER_LOCAL_ADDR}, and no host in --initial-advertise-peer-urls \
             is an address that other machines can reach: the system chooses the address to \
             connect from"
        )),
    });
    found
}
