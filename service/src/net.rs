//! Connections: from a listener to the code that speaks a protocol.
//!
//! ```text
//!                                  no place ─▶ closed            failed, late ─▶ closed
//!                                      ▲                              ▲
//!   Listener ─▶ accept ─▶ Endpoint::admit ─▶ TLS handshake ─▶ first bytes ─▶ Endpoint::serve
//!                  │                                                              │
//!   shutdown ──────┴── no more connections                      drain::drive ─────┘
//! ```
//!
//! This module has everything that is the same for all ports: the pause after a failed accept, the
//! handshake with a timeout, the recognition of HTTP/1.1 and HTTP/2, and the shutdown. An
//! [`Endpoint`] decides the rest: which connections get a place, for how long, and which protocols
//! are served. Clients, other members and ports for metrics are three endpoints. This module
//! depends on none of them, and does not know about their calls.
//!
//! # One connection
//!
//! 1. [`serve`] accepts a socket and asks the endpoint for a place ([`Endpoint::admit`]). Without a
//!    place the socket is closed at once.
//! 2. The connection gets a task ([`Endpoint::task`]), in which it lives to its end. The place is
//!    free again when the task ends.
//! 3. The task makes the TLS handshake, where it is configured ([`Opening::tls`]), and reads the
//!    first bytes to recognize the protocol ([`preface`]), both within [`Opening::timeout`]. That
//!    bounds the cost of a stranger that connects and sends nothing.
//! 4. [`Endpoint::serve`] gets the [`Connection`]: the stream with the first bytes put back, the
//!    protocol, and [`ConnectionInfo`].
//! 5. At any time, when [`Endpoint::revoked`] returns, the connection ends: another one needs its
//!    place, or its time is up. [`newcomers`] has the policy for connections from strangers.
//!
//! # The end
//!
//! When `shutdown` is cancelled, the listener is closed first, so that clients connect elsewhere at
//! once. Connections that have not opened are closed. All others finish the requests that have
//! begun ([`drain`]), for [`conclave_core::limits::SHUTDOWN_GRACE`] at most. [`serve`] returns when
//! the last connection has ended.
//!
//! # Invariants
//!
//! * A socket is served only while it has a place, and has at most one.
//! * No byte of a protocol is processed before the certificate of the other end was checked.
//! * A connection that is accepted ends: by itself, by revocation, or by shutdown and grace.

pub mod listener;
pub mod tls;

pub(crate) mod drain;
pub(crate) mod endpoint;
pub(crate) mod newcomers;
pub(crate) mod origin;
pub(crate) mod preface;
pub(crate) mod read_through;
pub(crate) mod serve;
pub(crate) mod stream;

#[cfg(test)]
mod tests;

pub use endpoint::ConnectionInfo;

pub(crate) use endpoint::{Accepted, Connection, Endpoint, Opening, OpeningError};
pub(crate) use serve::serve;
