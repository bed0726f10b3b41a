//! A member of a cluster without its network: consensus, log, state, leases and watches.
//!
//! ```text
//!   fronts ── Handle ─┬─▶ mailbox ─▶ driver (Node, log) ─▶ applier (Machine) ─┐
//!      ▲              │ ◀────────────── replies ──────────────────────────────┤
//!      │              ├─▶ Reader ◀────────── state ───────────────────────────┤
//!      └──────────────┴─▶ Watches ◀───────── ring ────────────────────────────┘
//! ```
//!
//! Three owners: the *driver* (a thread) owns the consensus and the raft log, the *applier* (a
//! thread) owns the state machine, the watch *hub* (a task) owns the watchers. They talk over
//! bounded queues. All other code holds a [`Handle`]. [`member::Member`] puts the owners together,
//! given two engines, the member's identity and a way to the other members.
//!
//! An owner works in turns, which do not wait; the thread or task around it does the waiting. So
//! [`driven::Driven`] can give out the turns one by one, in one thread and in any order.
//!
//! This crate knows no front: no gRPC, HTTP, TLS, command line or Prometheus is in its manifest.
//! What it needs of the world comes through seams: [`clock::Clock`], [`seed::Seed`],
//! [`workers::Workers`], [`peers::Peers`], [`observe::Observer`] with [`trace::Recorder`], and the
//! storage crate's `Engine` and `StateStore`.
//!
//! # Rooms
//!
//! Each module may use those above it in this list and no other.
//!
//! | module | what it is |
//! |---|---|
//! | [`limits`], [`log_once`], [`fatal`], `turns` | bounds, log lines, the end, counted turns |
//! | [`clock`], [`seed`], [`workers`], [`trace`], [`observe`] | the seams to the process |
//! | [`consensus`] | one member's part in raft, without I/O |
//! | [`caller`], [`outcome`], `admission`, `order`, `proposal` | a command on its way |
//! | [`peers`], `mailbox` | other members, and the driver's queue |
//! | `progress`, [`lease`], [`logins`] | what the owners publish; the ends of leases; logins |
//! | [`long_reads`], [`watch`] | reads that may be long; watchers |
//! | [`command`], [`proposer`], [`handle`], [`pipeline`] | what a front may ask for |
//! | [`leader_queries`], `expiry` | queries that only the leader can answer; the end of leases |
//! | `log_writer`, `housekeeper`, `forwarded`, [`applier`], [`driver`] | the owners |
//! | [`stores`], [`member`], [`driven`] | two engines; the owners, in threads or turn by turn |

pub mod applier;
pub mod caller;
pub mod clock;
pub mod command;
pub mod consensus;
pub mod driven;
pub mod driver;
pub mod fatal;
pub mod handle;
pub mod leader_queries;
pub mod lease;
pub mod limits;
pub mod log_once;
pub mod logins;
pub mod long_reads;
pub mod member;
pub mod observe;
pub mod outcome;
pub mod peers;
pub mod pipeline;
pub mod proposer;
pub mod seed;
pub mod stores;
pub mod trace;
pub mod watch;
pub mod workers;

mod admission;
mod answers;
mod expiry;
mod forwarded;
mod housekeeper;
mod log_writer;
mod mailbox;
mod order;
mod progress;
mod proposal;
mod turns;

pub use fatal::FatalError;
pub use handle::Handle;
