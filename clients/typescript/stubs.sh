#!/bin/sh
# Regenerates src/gen from the API's files. Needs protoc (Debian: protobuf-compiler). The generator, whose version is pinned, is
# installed outside the tree, so that it is no dependency of the package.
set -eu
cd "$(dirname "$0")"
version=2.18.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients/ts-proto-$version"
plugin="$cache/node_modules/.bin/protoc-gen-ts_proto"
if [ ! -x "$plugin" ]; then
  mkdir -p "$cache"
  npm install --prefix "$cache" --no-save --no-fund --no-audit --silent "ts-proto@$version"
fi
rm -rf src/gen
mkdir -p src/gen
# 64-bit integers are bigint; unknown enum values are kept as numbers; no JSON code.
options=forceLong=bigint,env=node,importSuffix=.js,outputServices=grpc-js,outputJsonMethods=false,esModuleInterop=true
options=$options,outputClientImpl=false,oneof=unions-value,snakeToCamel=true,removeEnumPrefix=true,useExactTypes=false
protoc --plugin=protoc-gen-ts_proto="$plugin" --ts_proto_out=src/gen --ts_proto_opt="$options" \
  -I ../../proto -I proto \
  ../../proto/etcd/kv.proto ../../proto/etcd/auth.proto ../../proto/etcd/rpc.proto \
  proto/grpc/health/v1/health.proto
node tools/errors.mjs < ../../proto/errors.tsv > src/gen/errors.ts
