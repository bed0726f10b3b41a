//! What a member keeps on disk, and the state machine that decides what goes there.
//!
//! This crate is synchronous and deterministic: no clock, no randomness, no threads, no network,
//! and it does not know raft. It offers two things to the server:
//!
//! * [`log::Log`], the durable raft log: append, truncate, hard state, compact.
//! * [`machine::Machine`], the state machine: committed entries in, outcomes, events and effects
//!   out; and [`reader::Reader`], the read side of the same state, which any number of threads may
//!   share.
//!
//! Both stand on [`engine::Engine`], ordered bytes with atomic batches, which is RocksDB in
//! production (the crate `conclave-rocks`) and a map in memory (with faults on demand) in tests.
//! `README.md` in this folder describes the bytes.

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

// The files in `tests/shared` are part of this crate's unit tests and of conclave-rocks', and name
// this crate in one way.
#[cfg(test)]
extern crate self as conclave_storage;

pub use fault::Fault;
pub use ids::{LeaseId, Revision};
