#!/usr/bin/env bash
# Runs the conformance subject that build.sh has built.
set -euo pipefail
exec "${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/conclave/target}/release/conclave-subject"
