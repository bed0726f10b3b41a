//! The library of all test tiers: servers to test, and short forms of the calls to them.
//!
//! A [`Node`] is one running member behind a gRPC endpoint. Three kinds exist, and a test of the
//! API cannot distinguish them:
//!
//! * [`Server`], Conclave inside the test's own process: fast, and the one to debug;
//! * [`Process`], the real binary: signals, flags, restarts;
//! * [`Etcd`], a real etcd, which is how the tests themselves are tested.
//!
//! A [`Cluster`] is several members, each a process of `conclave` or etcd, and the faults that can
//! be injected into them and the links between them ([`proxy`], [`netns`]) and to clients
//! ([`gate`]); [`Servers`] are several members in the test's own process. [`history`] checks the
//! answers and events that a cluster's clients got.
//!
//! Disks can fill up ([`disk`]), fail to sync ([`syncs`]) and lose data ([`damage`]); logs can have
//! entries that cannot be applied ([`poison`]); data can be in an older on-disk
//! format ([`formats`]); members can have [`certificates`] and [`clocks`] of their own, and tokens
//! can be made outside of any server ([`jwt`]). The metrics exported for Prometheus are compared
//! with etcd's ([`exposition`]), and a [`collector`] takes traces. A test that needs something this
//! user may not do prints `skipped` with the reason and passes.
//!
//! Every node has its own directory and its own ports, chosen by the system. Nothing waits for time
//! to pass: a test waits for an answer, a log line or a condition, each with a deadline
//! ([`within`], [`eventually`]), so a hang becomes a failure that names what it waited for.

use std::fmt::Debug;
use std::future::Future;

use conclave_proto::ApiError;
use tonic::{Code, Status};

pub mod api;
pub mod certificates;
pub mod child;
pub mod clocks;
pub mod cluster;
pub mod collector;
pub mod damage;
pub mod disk;
pub mod etcd;
pub mod exposition;
pub mod formats;
mod forward;
pub mod gate;
pub mod history;
pub mod http1;
pub mod jwt;
pub mod login;
pub mod netns;
pub mod node;
pub mod poison;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod server;
pub mod servers;
pub mod service_manager;
pub mod syncs;
pub mod wait;
pub mod wall_clock;
pub mod watching;

pub use cluster::Cluster;
pub use etcd::Etcd;
pub use node::{Backend, Node};
pub use process::Process;
pub use server::Server;
pub use servers::Servers;
pub use service_manager::ServiceManager;
pub use wait::{eventually, within};
pub use watching::Watching;

/// Runs a test on its own runtime with two threads, so that a server inside it and its client do
/// not block each other.
pub fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs nothing but memory and threads")
        .block_on(test)
}

/// Expects this error: code and text as the contract lists them.
#[track_caller]
pub fn refused<T: Debug>(outcome: Result<T, Status>, error: ApiError) {
    let status = outcome.expect_err(&format!("should have been refused with {error:?}"));
    assert_eq!(
        (status.code(), status.message()),
        (Code::from(error.wire_code()), error.text())
    );
}

/// Expects an error of this code whose text contains `part`.
#[track_caller]
pub fn fails<T: Debug>(outcome: Result<T, Status>, code: Code, part: &str) {
    let status = outcome.expect_err("should have failed");
    assert_eq!(status.code(), code, "{status:?}");
    assert!(
        status.message().contains(part),
        "{:?} does not say {part:?}",
        status.message()
    );
}

/// The number in an environment variable, if it is set: how long a run is, or its seed.
pub fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
}
