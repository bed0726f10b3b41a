#!/usr/bin/env bash
# Packs the client and the messages it depends on as crates, and runs the README's tour in a project of its own that has
# only those. A part of build.sh and of `make test`. CONCLAVE_BIN is the path of the server.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PATH:$HOME/.cargo/bin
cache=${XDG_CACHE_HOME:-$HOME/.cache}/conclave
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
conclave=${CONCLAVE_BIN:-$CARGO_TARGET_DIR/release/conclave}

# Each crate is compiled from its packed form below.
cargo package --quiet --locked --allow-dirty --no-verify --package conclave-proto --package conclave-client

scratch=$(mktemp -d)
server=
# The server writes until it has ended.
trap '[[ -z $server ]] || { kill "$server"; wait "$server" || true; }; rm -rf "$scratch"' EXIT
for crate in conclave-proto conclave-client; do
    mkdir "$scratch/$crate"
    tar --extract --file "$CARGO_TARGET_DIR/package/$crate-0.1.0.crate" --directory "$scratch/$crate" --strip-components 1
done

mkdir --parents "$scratch/tour/src"
cd "$scratch/tour"
# The only indented block between its heading and the next.
awk '/^## /{tour = /A tour/} tour && /^(    |$)/ {print substr($0, 5)}' "$scratch/conclave-client/README.md" >src/main.rs
cat >Cargo.toml <<'TOML'
[package]
name = "tour"
edition = "2024"

[dependencies]
conclave-client = "0.1.0"
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }

# What the registry would have.
[patch.crates-io]
conclave-client = { path = "../conclave-client" }
conclave-proto = { path = "../conclave-proto" }
TOML
# The versions of the packed lock file, so that nothing newer is fetched.
cp "$scratch/conclave-client/Cargo.lock" .

"$conclave" --data-dir="$scratch/data" --listen-peer-urls=http://127.0.0.1:0 \
    --listen-client-urls="unix://$scratch/client" --advertise-client-urls="unix://$scratch/client" &>"$scratch/log" &
server=$!
# A target directory of its own, where only our two crates change.
if ! CARGO_TARGET_DIR=$cache/clients/rust ETCDCTL_ENDPOINTS="unix://$scratch/client" ETCDCTL_COMMAND_TIMEOUT=30s \
    cargo run --quiet; then
    tail -5 "$scratch/log" >&2
    exit 1
fi
echo "clients/rust: the packed crate runs the tour in a project of its own"
