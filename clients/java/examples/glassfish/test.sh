#!/usr/bin/env bash
# Tests the application with real processes: GlassFish, and the Conclave binary in CONCLAVE_BIN. Arguments are Maven's, for
# example -Dit.test=FailureIT. It takes some minutes, because application servers are started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

CONCLAVE_BIN=${CONCLAVE_BIN:-${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/conclave/target}/release/conclave}
export CONCLAVE_BIN
if [[ ! -x $CONCLAVE_BIN ]]; then
    echo "test.sh: $CONCLAVE_BIN is not there: run \`make build\`, or set CONCLAVE_BIN" >&2
    exit 1
fi

../../../../.ci/packages java:openjdk-17-jdk-headless mvn:maven chromium:chromium
# The client has tests of its own, which its own build runs: here only those that end in IT.
mvn --quiet --file=reactor.xml -Dtest=None -Dsurefire.failIfNoSpecifiedTests=false \
    -Dmaven.javadoc.skip=true -Dmaven.source.skip=true verify "$@"
