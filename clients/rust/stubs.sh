#!/usr/bin/env bash
# The Rust stubs are not checked in: the build script of the crate conclave-proto generates them from proto/etcd with the
# versions that Cargo.lock pins. This generates them and shows where they are.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PATH:$HOME/.cargo/bin
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/conclave/target}
cargo build --release --locked --package conclave-proto
ls -t "$CARGO_TARGET_DIR"/release/build/conclave-proto-*/out/etcdserverpb.rs | head -1
