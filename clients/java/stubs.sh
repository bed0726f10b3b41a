#!/bin/bash
# Regenerates client/src/generated/java from ../../proto. The files are checked in; run this after a change of the API.
set -euo pipefail
cd "$(dirname "$0")"

protoc_version=4.36.2
# Newer generators than this are not always published for every platform; the runtime accepts older ones.
plugin_version=1.81.0

case "$(uname -m)" in
  x86_64) platform=linux-x86_64 ;;
  aarch64) platform=linux-aarch_64 ;;
  *) echo "stubs.sh: no generator is published for $(uname -m)" >&2; exit 1 ;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients/java
mkdir -p "$cache"

# The generators are Maven artifacts of the type exe.
fetch() { # group artifact version
  local file=$cache/$2-$3-$platform.exe
  if [ ! -x "$file" ]; then
    # In the cache's folder, where no POM is read.
    (cd "$cache" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
      -Dartifact="$1:$2:$3:exe:$platform" -DoutputDirectory="$cache" >&2)
    chmod +x "$file"
  fi
  echo "$file"
}
protoc=$(fetch com.google.protobuf protoc "$protoc_version")
plugin=$(fetch io.grpc protoc-gen-grpc-java "$plugin_version")

# Our own Java package, so that the stubs can share a class path with those of other clients of the API. The option is added
# here because the API's files belong to no language.
sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
mkdir -p "$sources/etcd"
for file in ../../proto/etcd/*.proto proto/health.proto; do
  name=$(basename "$file" .proto)
  case $file in ../../proto/etcd/*) target=$sources/etcd/$name.proto ;; *) target=$sources/$name.proto ;; esac
  cp "$file" "$target"
  cat >>"$target" <<OPTIONS

option java_package = "dev.conclave.client.api";
option java_multiple_files = true;
option java_outer_classname = "${name^}Proto";
OPTIONS
done

out=client/src/generated/java
rm -rf "$out"
mkdir -p "$out"
"$protoc" --proto_path="$sources" --java_out="$out" --plugin=protoc-gen-grpc-java="$plugin" --grpc-java_out="$out" \
  "$sources"/etcd/*.proto "$sources"/health.proto

# The table of errors, as an enum.
enum=$out/dev/conclave/client/ApiError.java
mkdir -p "$(dirname "$enum")"
java proto/Errors.java ../../proto/errors.tsv "$enum"
