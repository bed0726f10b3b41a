# `make run` starts a member, `make cluster` three, `make test` runs every test. They work on a fresh Debian or Ubuntu
# with a Rust toolchain and install what else they need; a second time they need no network.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# RocksDB is C++ and takes a quarter of an hour to compile. Outside the tree, it is compiled once: for
# both commands, which for that reason share one profile, and for every clone.
XDG_CACHE_HOME ?= $(HOME)/.cache
CARGO_TARGET_DIR ?= $(XDG_CACHE_HOME)/conclave/target
export CARGO_TARGET_DIR
export PATH := $(PATH):$(HOME)/.cargo/bin

BUILD_PACKAGES := clang:clang :libclang-dev g++:g++ make:make
# Tests talk to the server with etcd's own client and compare it with etcd. Another client they use, a crate, compiles
# etcd's proto files with protoc; nothing of ours does. strace makes calls of a process fail, as a bad disk does. Go and
# Python build and run clients whose libraries send what none in Rust does.
TEST_PACKAGES := etcdctl:etcd-client etcd:etcd-server protoc:protobuf-compiler :libprotobuf-dev strace:strace \
	go:golang-go python3:python3-venv

.PHONY: help run cluster cluster-member test sim fuzz fuzz-keep bench lint fmt packages cargo

help:
	@echo 'make run      build and start a member; its data is in default.conclave, its flags in ARGS="..."'
	@echo 'make cluster  build and start three members on this machine, to kill one and watch'
	@echo 'make test     build everything and run every test'
	@echo 'make sim      simulate clusters under faults; SEEDS=1000, or SEED=7 to see one, step by step'
	@echo 'make fuzz     look for inputs that end a member; TARGET=all SECONDS=3600, for each target'
	@echo 'make bench    load an endpoint; see ARGS="--help"'
	@echo 'make lint     what CI says about the source, apart from the tests'
	@echo 'make fmt      format the source'

# The binary is picked out of a build of the workspace, so that dependencies have the features they have in
# `make test` and are not compiled twice.
run: cargo
	@.ci/packages $(BUILD_PACKAGES)
	cargo build --release --locked --workspace --bin conclave
	@exec "$$CARGO_TARGET_DIR/release/conclave" $(ARGS)

cluster: cargo
	@.ci/packages $(BUILD_PACKAGES)
	cargo build --release --locked --workspace --bin conclave
	@exec deploy/cluster.sh $(ARGS)

# One of its members, after it was killed. The binary is there, since the cluster runs.
cluster-member:
	@exec deploy/cluster.sh --member "$(NAME)" $(ARGS)

test: cargo packages
	cargo build --release --workspace --locked
	cargo test --release --workspace --locked

# The simulator, whose short run is a part of `make test`. With BUG=answer_before_sync or BUG=read_context_twice it runs on
# a core with that bug, in a directory of its own, and has to find it. See tests/sim/README.md.
sim: export SEEDS := $(SEEDS)
sim: export SEED := $(SEED)
sim: cargo
	@if [[ -n "$(BUG)" ]]; then \
		export CARGO_TARGET_DIR="$$CARGO_TARGET_DIR/bugs" RUSTFLAGS='--cfg conclave_bug="$(BUG)"'; fi; \
	cargo build --release --locked --package conclave-sim --bin conclave-sim; \
	exec "$$CARGO_TARGET_DIR/release/conclave-sim"

# The long run of the fuzz tier, whose short run is a part of `make test`; see tests/README.md.
fuzz: TARGET ?= all
fuzz: SECONDS ?= 3600
fuzz: cargo packages
	.ci/fuzz run "$(TARGET)" "$(SECONDS)"

# Brings what it has found into the tree.
fuzz-keep: TARGET ?= all
fuzz-keep: cargo packages
	.ci/fuzz keep "$(TARGET)"

bench: cargo
	@.ci/packages $(BUILD_PACKAGES)
	cargo build --release --locked --workspace --bin conclave-bench
	@exec "$$CARGO_TARGET_DIR/release/conclave-bench" $(ARGS)

lint: cargo packages
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings

fmt: cargo
	cargo fmt --all

packages:
	@.ci/packages $(BUILD_PACKAGES) $(TEST_PACKAGES)

# Cargo takes what another clone built for this one's if it is younger than the sources here. So whoever builds first in
# this clone after another one throws away the workspace's part of the shared directory, a minute or two of it.
cargo:
	@command -v cargo >/dev/null || { \
		echo 'Rust is missing: install rustup from https://rustup.rs, then run this again.' >&2; exit 1; }
	@built_for="$$CARGO_TARGET_DIR/built-for"; \
	if [[ -d "$$CARGO_TARGET_DIR" && "$$(cat "$$built_for" 2>/dev/null)" != "$(CURDIR)" ]]; then \
		cargo clean --quiet --release --workspace --locked; fi; \
	mkdir -p "$$CARGO_TARGET_DIR"; echo "$(CURDIR)" > "$$built_for"
