//! File descriptors: the limit of the process, and how it is divided.
//!
//! Each client connection and each open file of a store takes a descriptor. If clients could take
//! the last one, a store would fail to open a file and the member would stop. So the limit is
//! raised at start as far as the system allows ([`raise`]), and divided ([`Budget`]): the stores,
//! other members and the process itself come first, and clients get the rest.
//!
//! | limit | files of a store | newcomers at the peer port | clients |
//! |---|---|---|---|
//! | 1,024 | 85 | 64 | 349 |
//! | 4,096 | 341 | 256 | 2,269 |
//! | 65,536 | 512 | 512 | 32,768 |

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Upper bound of client connections, on all listeners together. An idle connection costs about 20
/// KiB.
pub(crate) const CLIENTS_MAX: usize = 32_768;
/// Lower bound of client connections, even when the limit is very low.
const CLIENTS_MIN: usize = 16;
/// With fewer client connections than this, a warning is logged at start.
const CLIENTS_FEW: usize = 4_096;
/// Connections above the client limit that are accepted because they may be an operator's. Twice as
/// many can be open ([`crate::net::newcomers`]).
pub(crate) const PROBES_MAX: usize = 16;

/// Share of all descriptors for connections to the peer port that have not identified their member
/// yet: one in this many. Twice as many can be open ([`crate::net::newcomers`]). With more places,
/// it may take longer until a member is served while strangers connect.
const PEER_NEWCOMERS_SHARE: usize = 16;
/// Lower bound of that share.
const PEER_NEWCOMERS_MIN: usize = 64;
/// Upper bound of that share.
const PEER_NEWCOMERS_MAX: usize = 512;
/// Connections to the peer port from members: two from each member of a very large cluster, and
/// spare ones for connections that the other member has lost and that are still open here.
pub(crate) const PEER_CONNECTIONS_MAX: usize = 96;
/// Connections that this member dials: two to each other member.
const PEER_DIALLED_MAX: usize = 32;

/// More descriptors than a member uses when all places are taken. A higher limit has no use, and
/// some containers set a limit of a billion.
const USEFUL_MAX: u64 = 65_536;

/// Number of stores open at a time: the log, the state, and the state of a snapshot that replaces
/// it.
const STORES: usize = 3;

/// Lower bound of the table files that a store keeps open. With fewer, it would spend its time on
/// opening files again.
const STORE_FILES_MIN: usize = 64;
/// Upper bound of the table files that a store keeps open. More do not make it faster.
const STORE_FILES_MAX: usize = 512;
/// Share of all descriptors for each store: one in this many.
const STORE_SHARE: usize = 12;

/// Connections to the ports of `--listen-metrics-urls`, all together. A few probes and scrapers use
/// one each.
pub(crate) const MONITORING_MAX: usize = 32;

/// Descriptors for everything else: files of stores that are not tables (logs, manifests, locks,
/// the inputs of a compaction), listeners, the runtime, standard streams, certificates and `/proc`
/// while they are read, and look-ups of names.
const PROCESS_MAX: usize = 100;

/// Descriptors that clients never get, whatever the limit is.
const RESERVE: usize =
    PROCESS_MAX + 2 * PROBES_MAX + MONITORING_MAX + PEER_CONNECTIONS_MAX + PEER_DIALLED_MAX;

/// The division of the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Limit of all descriptors.
    pub limit: usize,
    /// Table files that each store keeps open.
    pub store_files: usize,
    /// Connections to the peer port that have not identified their member yet.
    pub peer_newcomers: usize,
    /// Client connections.
    pub clients: usize,
}

impl Budget {
    /// Divides `limit` descriptors.
    pub fn of(limit: usize) -> Budget {
        let store_files = (limit / STORE_SHARE).clamp(STORE_FILES_MIN, STORE_FILES_MAX);
        let peer_newcomers =
            (limit / PEER_NEWCOMERS_SHARE).clamp(PEER_NEWCOMERS_MIN, PEER_NEWCOMERS_MAX);
        let clients = limit.saturating_sub(RESERVE + STORES * store_files + 2 * peer_newcomers);
        Budget {
            limit,
            store_files,
            peer_newcomers,
            clients: clients.clamp(CLIENTS_MIN, CLIENTS_MAX),
        }
    }

    /// Divides the descriptors that this process may have.
    pub fn current() -> Budget {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Budget::of(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Logs a warning if the limit leaves few places for clients.
    pub fn report(&self) {
        let Budget { limit, clients, .. } = *self;
        if clients < CLIENTS_FEW {
            tracing::warn!(
                limit,
                clients,
                "the limit of open files allows few client connections; raise it with ulimit -n \
                 or LimitNOFILE="
            );
        }
    }
}

/// Raises the soft limit of this process as far as is useful and allowed.
pub fn raise() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(USEFUL_MAX, |maximum| maximum.min(USEFUL_MAX));
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table at the head of the module.
    #[test]
    fn clients_get_what_is_left() {
        for (limit, store_files, peer_newcomers, clients) in [
            (0, 64, 64, 16),
            (256, 64, 64, 16),
            (1_024, 85, 64, 349),
            (4_096, 341, 256, 2_269),
            (65_536, 512, 512, 32_768),
            (usize::MAX, 512, 512, 32_768),
        ] {
            let budget = Budget {
                limit,
                store_files,
                peer_newcomers,
                clients,
            };
            assert_eq!(Budget::of(limit), budget);
        }
    }

    #[test]
    fn all_places_fit_into_the_useful_limit() {
        assert_eq!(Budget::of(USEFUL_MAX as usize).clients, CLIENTS_MAX);
    }
}
