#!/usr/bin/env bash
# Regenerates the checked-in code of ../../proto: the package api, and the table of errors. The generators are compiled
# from the versions in tools/go.mod into a cache.
set -euo pipefail
cd "$(dirname "$0")"

bin="${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients/go/bin"
mkdir -p "$bin"
(cd tools && go build -o "$bin/" ./stubgen ./errgen \
	google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc)
mkdir -p api
rm -f api/*.pb.go
"$bin/stubgen" -protos=../../proto -out=api -plugins="$bin"
"$bin/errgen" -table=../../proto/errors.tsv -out=errors_table.go
