//! Versions that this server reports, and the text of `--version`.

use std::env::consts::{ARCH, OS};

/// The version of the etcd API. Clients use it to choose features.
pub(crate) const API_VERSION: &str = "3.7.1";

/// The version of the cluster and of the storage: the API version without its patch level.
pub(crate) const CLUSTER_VERSION: &str = "3.7.0";

/// Returns the text of `--version`. Scripts read the first line; our own version follows.
pub(crate) fn version_text() -> String {
    let own = env!("CARGO_PKG_VERSION");
    let mut text = format!("etcd Version: {API_VERSION}\nConclave Version: {own}\n");
    // Set by release builds; a build from a modified tree must not claim a commit.
    if let Some(sha) = option_env!("CONCLAVE_GIT_SHA") {
        text.push_str(&format!("Git SHA: {sha}\n"));
    }
    text.push_str(&format!("OS/Arch: {OS}/{ARCH}\n"));
    text
}
