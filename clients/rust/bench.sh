#!/usr/bin/env bash
# Builds and runs the client's benchmark: bench.sh WORKLOAD LIBRARY ENDPOINT. See clients/README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PATH:$HOME/.cargo/bin
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/conclave/target}

cargo build --quiet --release --locked --workspace --bin conclave-client-bench
exec "$CARGO_TARGET_DIR/release/conclave-client-bench" "$@"
