#!/bin/bash
# Builds a project of its own that depends on the packed jar as a user's would, and runs README's tour in it. Part of build.sh.
set -euo pipefail
cd "$(dirname "$0")"

scratch=$(mktemp -d)
server=
# The server writes until it has ended.
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; }; rm -rf "$scratch"' EXIT

# A local repository of its own, with the dependencies of the usual one, so that the usual one never has our artifacts.
usual=$HOME/.m2/repository
mkdir -p "$usual"
cp -al "$usual" "$scratch/repository" 2>/dev/null || { rm -rf "$scratch/repository"; cp -a "$usual" "$scratch/repository"; }
maven() { mvn -B -q -Dmaven.repo.local="$scratch/repository" "$@"; }
maven_o() { maven -o "$@" || maven "$@"; }
# Installed by hand: the layout of a repository is simple, and Maven's own goal would run in every module.
ours=$scratch/repository/dev/conclave
mkdir -p "$ours/conclave-parent/0.1.0" "$ours/conclave-client/0.1.0"
cp pom.xml "$ours/conclave-parent/0.1.0/conclave-parent-0.1.0.pom"
cp client/pom.xml "$ours/conclave-client/0.1.0/conclave-client-0.1.0.pom"
cp client/target/conclave-client-0.1.0.jar "$ours/conclave-client/0.1.0/"

mkdir -p "$scratch/project/src/main/java/tour"
# With a module descriptor, so that ours is used.
echo 'module tour { requires dev.conclave.client; }' >"$scratch/project/src/main/java/module-info.java"
sed 's/^package .*/package tour;/' examples/src/main/java/dev/conclave/examples/Tour.java >"$scratch/project/src/main/java/tour/Tour.java"
cat >"$scratch/project/pom.xml" <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tour</groupId>
  <artifactId>tour</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency>
      <groupId>dev.conclave</groupId>
      <artifactId>conclave-client</artifactId>
      <version>0.1.0</version>
    </dependency>
  </dependencies>
</project>
POM
(
  cd "$scratch/project"
  maven_o org.apache.maven.plugins:maven-resources-plugin:3.3.1:resources \
    org.apache.maven.plugins:maven-compiler-plugin:3.14.1:compile \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$scratch/lib" -DincludeScope=runtime
)

"$CONCLAVE_BIN" --data-dir="$scratch/data" --listen-peer-urls=http://127.0.0.1:0 \
  --listen-client-urls=http://127.0.0.1:0 --advertise-client-urls=http://127.0.0.1:0 --log-format=json &>"$scratch/server.log" &
server=$!
# The port is the system's choice, which the log names: one chosen here could be another process's by now.
address=
until [[ $address ]]; do
  kill -0 "$server" 2>/dev/null || { tail -5 "$scratch/server.log" >&2; exit 1; }
  address=$(sed -nE 's/.*ready to serve client requests.*"address":"([^"]+)".*/\1/p' "$scratch/server.log")
  sleep 0.1
done
# gRPC is an automatic module, so nothing says that it requires netty's modules.
ETCDCTL_ENDPOINTS="http://$address" ETCDCTL_COMMAND_TIMEOUT=30s \
  java --module-path "$scratch/project/target/classes:$scratch/lib" --add-modules ALL-MODULE-PATH --module tour/tour.Tour
echo "scratch.sh: the packed jar works in a project of its own"
