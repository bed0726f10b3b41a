//! The versions this server reports, and the text of `--version`.

use std::env::consts::{ARCH, OS};

/// The version of the etcd API this server speaks; clients look at it to know what they may use.
pub const API_VERSION: &str = "3.7.1";

/// The level of the cluster and of the storage: the API level without its patch.
pub const CLUSTER_VERSION: &str = "3.7.0";

/// The lines of `--version`. Scripts read the first; our own version follows.
pub fn version_text() -> String {
    let own = env!("CARGO_PKG_VERSION");
    let mut text = format!("etcd Version: {API_VERSION}\nConclave Version: {own}\n");
    // Set by whoever builds a release; a build from a tree of unknown state does not claim one.
    if let Some(sha) = option_env!("CONCLAVE_GIT_SHA") {
        text.push_str(&format!("Git SHA: {sha}\n"));
    }
    text.push_str(&format!("OS/Arch: {OS}/{ARCH}\n"));
    text
}
