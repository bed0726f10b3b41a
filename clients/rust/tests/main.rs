//! The client against real servers, with faults: processes that are stopped or killed, and a proxy
//! that swallows what goes through it.
//!
//! The server is the binary that `CONCLAVE_BIN` names, or the one that the workspace has built.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_input;
mod barriers;
mod caches;
mod elections;
mod endpoints;
mod examples;
mod mutexes;
mod proxy;
mod queues;
mod server;
mod sessions;
mod shared_locks;
mod values;
mod wait;
mod watches;
