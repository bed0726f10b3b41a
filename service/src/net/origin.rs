//! Where clients come from, as far as they are counted together.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address or a /64 network of IPv6, which is what one customer gets. The clients of all
/// Unix sockets count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    UnixSocket,
    Address(IpAddr),
    /// The first address of a /64.
    Network(Ipv6Addr),
}

impl Origin {
    /// Returns the origin of a connection from this address. `None` is a Unix socket.
    pub(crate) fn of(remote: Option<IpAddr>) -> Origin {
        match remote.map(|address| address.to_canonical()) {
            None => Origin::UnixSocket,
            // Every process of this machine can have it, and no network is behind it.
            Some(address) if address.is_loopback() => Origin::Address(address),
            Some(address @ IpAddr::V4(_)) => Origin::Address(address),
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Origin::Network(Ipv6Addr::from_bits(network))
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::UnixSocket => write!(f, "Unix sockets"),
            Origin::Address(address) => write!(f, "{address}"),
            Origin::Network(network) => write!(f, "{network}/64"),
        }
    }
}
