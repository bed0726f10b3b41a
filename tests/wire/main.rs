//! The API over a real socket: every option and edge case of the contract, called through raw stubs
//! that share no code with the server.
//!
//! One list of tests runs against each backend. Each module starts with its list:
//!
//! ```text
//! suite![
//!     a_single_key,                                         // Node as it comes
//!     progress_each_interval ["--watch-progress-...=1s"],   // with flags
//!     a_stream => "came with 3.7",                          // not held against etcd 3.4, and why
//! ];
//! ```
//!
//! `CONCLAVE_TEST_SERVER=etcd` runs all of it against real etcd 3.4 instead, which is how the tests
//! themselves are tested; tests of behaviour that differs in that version are skipped with the
//! reason printed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::future::Future;

use harness::{Backend, Node};

/// Generates one test per function and backend.
macro_rules! suite {
    ($($test:ident $([$($flag:literal),+])? $(=> $why:literal)?),+ $(,)?) => {
        mod in_process {
            $(#[test]
            fn $test() {
                let flags: &[&str] = &[$($($flag),+)?];
                let why: &[&str] = &[$($why)?];
                crate::on(harness::Backend::InProcess, flags, why, super::$test);
            })+
        }
        mod process {
            $(#[test]
            fn $test() {
                let flags: &[&str] = &[$($($flag),+)?];
                let why: &[&str] = &[$($why)?];
                crate::on(harness::Backend::Process, flags, why, super::$test);
            })+
        }
    };
}

mod auth;
mod bad_input;
mod clients;
mod cluster;
mod compact;
mod compressed;
mod delete;
mod election;
mod etcd_client;
mod fair_use;
mod lease;
mod lease_keys;
mod lock;
mod maintenance;
mod membership;
mod metadata;
mod permissions;
mod probes;
mod put;
mod range;
mod range_order;
mod range_stream;
mod reflection;
mod txn;
mod txn_checks;
mod txn_compare;
mod txn_nested;
mod unimplemented;
mod watch_create;
mod watch_events;
mod watch_history;
mod watch_load;
mod watch_progress;

/// Runs one test on a fresh node.
fn on<F: Future<Output = ()>>(
    backend: Backend,
    flags: &[&str],
    not_on_etcd_because: &[&str],
    test: impl FnOnce(Node) -> F,
) {
    let backend = backend.or_as_asked();
    if let (Backend::Etcd, [reason]) = (backend, not_on_etcd_because) {
        eprintln!("skipped on etcd 3.4: {reason}");
        return;
    }
    harness::run(async { test(Node::start_with(backend, flags).await).await });
}
