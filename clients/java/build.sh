#!/bin/bash
# Builds, tests and packs the client, and makes the conformance subject runnable. CONCLAVE_BIN is the server for the tests.
# Nothing is done if neither a source nor the server has changed since the last success.
set -euo pipefail
cd "$(dirname "$0")"

: "${CONCLAVE_BIN:?set CONCLAVE_BIN to the conclave binary, which the tests start}"
CONCLAVE_BIN=$(realpath "$CONCLAVE_BIN")
export CONCLAVE_BIN

stamp=target/built
state() {
  find . \( -name target -o -path ./examples/glassfish \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
  stat -c '%n %s %Y' "$CONCLAVE_BIN"
}
now=$(state | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && [ -f subject/target/subject.jar ]; then
  echo "clients/java: nothing has changed"
  exit 0
fi

# Without the network, once a build with these POMs has fetched what they need.
fetched=${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients/java/fetched-$(cat pom.xml */pom.xml | sha256sum | cut -c1-16)
offline=
[ ! -f "$fetched" ] || offline=-o
mvn -B $offline -T1 package

# The benchmark, without the library that it compares with: its own build fetches that one. See bench.sh.
mvn -B -q $offline -f bench/reactor.xml -Dlibrary=ours compile

./scratch.sh

# An archive of the classes that the subject loads, with which it starts faster on a busy machine. The client of this run has
# nobody to talk to; its input stays open until its calls have failed.
rm -f subject/target/subject.jsa
{
  echo '{"id":1,"op":"client.open","args":{"as":"c","endpoints":["http://127.0.0.1:1"],"timeout":0.5}}'
  echo '{"id":2,"op":"get","args":{"client":"c","key":"a"}}'
  echo '{"id":3,"op":"session.open","args":{"client":"c","as":"s","ttl":5}}'
  echo '{"id":4,"op":"watch.open","args":{"client":"c","as":"w","key":"a"}}'
  sleep 3
} | java -XX:ArchiveClassesAtExit=subject/target/subject.jsa -XX:TieredStopAtLevel=1 -Xlog:disable -Xlog:all=error:stderr \
  -cp "subject/target/subject.jar:subject/target/lib/*" dev.conclave.subject.Main >/dev/null

mkdir -p target "$(dirname "$fetched")"
touch "$fetched"
echo "$now" >"$stamp"
