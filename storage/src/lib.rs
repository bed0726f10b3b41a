//! A member's two stores on disk, the raft log and the state, and the state machine that writes the
//! state.
//!
//! This crate is synchronous and deterministic: no clock, no randomness, no threads, no network, no
//! C++, and no knowledge of raft. It offers three things to the server:
//!
//! * [`log::Log`], the durable raft log: append, truncate, hard state, compact.
//! * [`machine::Machine`], the state machine: committed entries in; outcomes, changes and effects
//!   out.
//! * [`reader::Reader`], the read side of the same state, shared by any number of threads.
//!
//! All of them use an [`engine::Engine`]: ordered bytes with atomic batches. It is RocksDB in
//! production (the crate `conclave-rocks`), and a map in memory with faults on demand in tests.
//! [`state_store::StateStore`] is the seam to whole states: the current one, and copies of it.
//! `README.md` in this folder describes the bytes on disk.
//!
//! A module imports only modules below it in this list:
//!
//! ```text
//! state_store
//! snapshot
//! machine
//! reader
//! auth, convert, membership
//! log, mvcc
//! layout, state_dir
//! engine, files
//! fault, ids
//! ```

pub mod auth;
pub mod convert;
pub mod engine;
pub mod fault;
pub mod files;
pub mod ids;
pub mod layout;
pub mod log;
pub mod machine;
pub mod membership;
pub mod mvcc;
pub mod reader;
pub mod snapshot;
pub mod state_dir;
pub mod state_store;

// The files in `tests/shared` are part of this crate's unit tests and of those of conclave-rocks.
// They name this crate `conclave_storage` in both.
#[cfg(test)]
extern crate self as conclave_storage;

pub use fault::Fault;
pub use ids::{ClusterId, Index, LeaseId, MemberId, RequestId, Revision, Term};
pub use mvcc::KeyRange;
