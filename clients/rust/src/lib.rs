//! An asynchronous client for Conclave, and for any server with etcd's v3 API.
//!
//! ```
//! # async fn tour() -> Result<(), conclave_client::Error> {
//! use conclave_client::recipes::Mutex;
//! use conclave_client::{Client, txn};
//!
//! let client = Client::connect(["http://10.0.0.1:2379", "http://10.0.0.2:2379"]).await?;
//! let session = client.session(10).await?;
//! let held = Mutex::new(&session, "jobs/nightly").lock().await?;
//! // Takes effect only while the lock is held.
//! let put = txn::put("state/nightly", "running");
//! client.txn(txn::when([held.guard()], [put])).await?;
//! held.release().await?;
//! client.close().await;
//! # Ok(()) }
//! ```
//!
//! # The model
//!
//! A [`Client`] sends its calls to its endpoints in turn. An endpoint that fails, or sends nothing,
//! leaves the rotation until a probe succeeds. Reads go on at the next endpoint; writes only if
//! they were provably not executed, and [`Error::may_have_happened`] says so. Every call has a
//! deadline.
//!
//! A [`watch::Watch`] delivers every event once and in order, over broken connections. A
//! [`Session`] is a lease that is kept alive; it is lost, by its own clock, before the server can
//! expire the lease. The [`recipes`] build on both: what a session holds is a key with its lease,
//! and the key's create revision is a fencing token.
//!
//! ```text
//! recipes ──▶ session ──▶ client ──▶ transport ──▶ calls ──▶ rotation ──▶ connection
//!    └──────▶ watch ────────┘        (token)      (attempts) (which)      (HTTP/2)
//! ```
//!
//! Requests and replies are the API's own messages ([`api`]). Dropping a future cancels it, and
//! frees what it held. The features: `tls` for `https://` and `unixs://`.

mod backoff;
mod calls;
mod client;
mod clock;
mod connection;
mod effect;
mod endpoint;
pub mod error;
mod keys;
mod kv;
mod lease;
mod login;
mod options;
pub mod recipes;
mod rotation;
mod session;
mod session_state;
mod stream;
mod tasks;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod transport;
pub mod txn;
pub mod watch;

pub use client::Client;
pub use conclave_proto::ApiError;
pub use error::{Error, ErrorKind};
pub use keys::Keys;
pub use login::User;
pub use options::Options;
pub use session::{SESSION_TTL_SECONDS, Session};
pub use session_state::{SessionState, SessionStates};
#[cfg(feature = "tls")]
pub use tls::TlsFiles;
pub use transport::Transport;

/// The API's messages, as generated from its `.proto` files.
pub mod api {
    pub use conclave_proto::etcdserverpb::*;
    pub use conclave_proto::mvccpb::{Event, KeyValue, event::EventType};
    pub use conclave_proto::{v3electionpb, v3lockpb};
}
