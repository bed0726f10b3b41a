#!/usr/bin/env bash
# Usage: bench.sh WORKLOAD LIBRARY ENDPOINT
# Builds the benchmark and runs it; see bench/main.go.
set -euo pipefail
cd "$(dirname "$0")/bench"

binary="${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients/go-bench/bench"
go build -o "$binary" . >&2
exec "$binary" "$@"
