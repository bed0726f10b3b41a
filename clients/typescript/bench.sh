#!/bin/sh
# Benchmark of the client, or of the established one, against a server that runs: bench.sh WORKLOAD ours|other ENDPOINT. What is
# measured and printed is in bench/bench.ts. Builds what it needs; needs Node 20 or later.
set -eu
[ $# = 3 ] || { echo "usage: $0 puts|handovers|watches ours|other ENDPOINT" >&2; exit 1; }
case $2 in
  ours) program=build/all/bench/ours.js ;;
  other) program=bench/other/build/other/etcd3.js ;;
  *) echo "$0: the library is ours or other, not $2" >&2; exit 1 ;;
esac
cd "$(dirname "$0")"

# Installs a folder's packages if its lock file has changed, as build.sh does.
install() {
  if [ ! -f "$1/node_modules/.package-lock.json" ] || [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ]; then
    npm ci --prefix "$1" --silent --no-fund --no-audit
    touch "$1/node_modules/.package-lock.json"
  fi
}
{
  install .
  mkdir -p build
  if [ "$2" = ours ]; then
    node tools/dist.mjs
    node_modules/.bin/tsc -p tsconfig.programs.json
  else
    install bench/other
    node_modules/.bin/tsc -p bench/other
  fi
} >&2
exec node --expose-gc "$program" "$1" "$3"
