#!/usr/bin/env bash
# Builds, lints, tests and packs the client, and makes its conformance subject runnable. CONCLAVE_BIN names the server
# for the tests. Go caches what has not changed, results of tests included.
set -euo pipefail
cd "$(dirname "$0")"

: "${CONCLAVE_BIN:?set CONCLAVE_BIN to the binary of the server}"
# What tests read beyond their own module; Go caches their results by it.
CONCLAVE_BIN_ID="$(stat -Lc '%Y-%s' "$CONCLAVE_BIN") $(cat README.md ../../proto/errors.tsv | cksum)"
export CONCLAVE_BIN CONCLAVE_BIN_ID

cache="${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients/go"
mkdir -p "$cache/bin"

unformatted="$(gofmt -l .)"
[ -z "$unformatted" ] || { echo "gofmt -w $unformatted" >&2; exit 1; }
(cd tools && go build -o "$cache/bin/" honnef.co/go/tools/cmd/staticcheck ./modzip)
for module in . tools interop bench; do
	(cd "$module" && go vet ./... && "$cache/bin/staticcheck" ./...)
done
# Tests wait more than they compute.
go test -parallel 4 ./...
(cd interop && go test ./...)
"$cache/bin/modzip" -module=. -version=v0.1.0 -out="$cache/proxy"
go build -o "$cache/bin/subject" ./subject
