#!/usr/bin/env bash
# Builds the Rust client, lints and tests it against the binary of CONCLAVE_BIN (or the one that the workspace has
# built), packs it, and leaves the conformance subject ready to run. RocksDB is not needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PATH:$HOME/.cargo/bin
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/conclave/target}

packages=(--package conclave-client --package conclave-subject)
cargo fmt "${packages[@]}" --check
cargo clippy --release --locked "${packages[@]}" --all-targets --all-features -- -D warnings
cargo check --release --locked --package conclave-client
cargo test --release --locked --package conclave-client --all-features
cargo build --release --locked --package conclave-subject
clients/rust/packed.sh
