#!/bin/sh
# Installs what the client needs, builds it, lints it, runs its tests, packs it and tries the package, and makes the subject of the
# conformance tests. Does nothing if nothing has changed since it last succeeded. Tests start the server CONCLAVE_BIN, or `conclave`
# of the path. Needs Node 20 or later, and openssl for the tests.
set -eu
cd "$(dirname "$0")"
server=$(command -v "${CONCLAVE_BIN:-conclave}")
export CONCLAVE_BIN="$server"
stamp=build/stamp
state=$({ node --version; git ls-files -co --exclude-standard -z . ../../proto | sort -z | xargs -0 sha256sum; } | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
  echo 'typescript: nothing has changed'
  exit 0
fi
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --no-fund --no-audit
  touch node_modules/.package-lock.json
fi
mkdir -p build
node tools/dist.mjs
node_modules/.bin/tsc -p tsconfig.programs.json
node_modules/.bin/eslint --cache --cache-location build/eslint .
# One file at a time: each starts clusters of its own.
node --test --test-concurrency=1 build/all/test/*.test.js
if [ -x packing/test.sh ]; then packing/test.sh; fi
echo "$state" > "$stamp"
