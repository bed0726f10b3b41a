#!/bin/bash
# Measures the client, or jetcd, against the server at an endpoint; see bench/src/main/java/dev/conclave/bench/Bench.java.
#
#   ./bench.sh puts|handovers|watches ours|other http://127.0.0.1:PORT
#
# Builds first if a source has changed. Prints one line: operations, seconds, CPU seconds, resident bytes, library.
set -euo pipefail
cd "$(dirname "$0")"

case "$#:${1-}:${2-}" in
  3:puts:ours | 3:handovers:ours | 3:watches:ours) project=bench/reactor.xml sources="bench client/src pom.xml client/pom.xml" ;;
  3:puts:other | 3:handovers:other | 3:watches:other) project=bench/pom.xml sources=bench ;;
  *) echo "usage: bench.sh puts|handovers|watches ours|other ENDPOINT" >&2; exit 2 ;;
esac
workload=$1 library=$2 endpoint=$3

target=bench/target/$library
# shellcheck disable=SC2086
now=$(find $sources -name target -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
if [ ! -f "$target/built" ] || [ "$(cat "$target/built")" != "$now" ]; then
  rm -rf "$target"
  mvn -B -q -f "$project" -Dlibrary="$library" \
    -Dmaven.test.skip=true -Dmaven.javadoc.skip=true -Dmaven.source.skip=true package >&2
  echo "$now" >"$target/built"
fi

options=()
# A heap that a collection shrinks to little more than what is alive, so that the resident size shows what the watches hold.
[ "$workload" != watches ] || options=(-Xms8m -XX:MinHeapFreeRatio=5 -XX:MaxHeapFreeRatio=10)
exec java "${options[@]}" -cp "$target/classes:$target/lib/*" dev.conclave.bench.Main "$workload" "$endpoint"
