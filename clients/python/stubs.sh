#!/usr/bin/env bash
# Regenerates src/conclave_client/_proto and the table of errors from ../../proto. The results are
# checked in, so that users and `build.sh` need no generator.
set -euo pipefail
cd "$(dirname "$0")"

# protoc 31.1, whose code runs with protobuf 6.31 to 7.
readonly GRPCIO_TOOLS=1.74.0
readonly VENV="${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients/python-stubs-$GRPCIO_TOOLS"
readonly OUT=src/conclave_client/_proto
readonly FILES=(etcd/{kv,auth,rpc,lock,election}.proto)

if [[ ! -e "$VENV/ready" ]]; then
	rm -rf "$VENV"
	python3 -m venv "$VENV"
	"$VENV/bin/pip" install --quiet "grpcio-tools==$GRPCIO_TOOLS" setuptools
	touch "$VENV/ready"
fi

rm -f "$OUT"/*_pb2.py "$OUT"/*_pb2.pyi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$VENV/bin/python" -m grpc_tools.protoc --proto_path=../../proto \
	--python_out="$work" --pyi_out="$work" "${FILES[@]}"
cp "$work"/etcd/*_pb2.py "$work"/etcd/*_pb2.pyi "$OUT"

# Modules of this package instead of a top-level package `etcd`, and a pool of our own instead of
# the process-wide one, in which other clients of etcd register the same names.
sed --in-place \
	-e 's/^from etcd import \(.*\)$/from . import \1/' \
	-e 's/^from google.protobuf import descriptor_pool as _descriptor_pool$/from . import pool as _pool/' \
	-e 's/_descriptor_pool\.Default()/_pool.POOL/' \
	-e 's/_Mapping\]/_Mapping[str, object]]/g' \
	-e "s/'etcd\.\([a-z]*_pb2\)'/'conclave_client._proto.\1'/" \
	"$OUT"/*_pb2.py "$OUT"/*_pb2.pyi

"$VENV/bin/python" tools/methods.py > "$OUT/methods.py"
"$VENV/bin/python" tools/errors.py < ../../proto/errors.tsv > src/conclave_client/_errors_table.py

# The synchronous client follows from the asyncio client.
sync_face="$(python3 tools/sync_face.py)"
echo "$sync_face" > src/conclave_client/_sync.py
