# `make run` starts a member, `make cluster` three, `make test` runs every test. They work on a fresh Debian or Ubuntu
# with a Rust toolchain and install everything else; later runs need no network.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# RocksDB is C++ and takes a quarter of an hour to compile. In a target directory outside the tree it is compiled once
# for both commands, which share one profile for that reason, and for every clone.
XDG_CACHE_HOME ?= $(HOME)/.cache
CARGO_TARGET_DIR ?= $(XDG_CACHE_HOME)/conclave/target
export CARGO_TARGET_DIR
export PATH := $(PATH):$(HOME)/.cargo/bin

BUILD_PACKAGES := clang:clang :libclang-dev g++:g++ make:make
# Tests use etcd's own client and compare the server with etcd. Another client, the crate `etcd-client`, compiles etcd's
# proto files with protoc, which our own crates do not need. strace makes a process' system calls fail, as a bad disk
# does. Go and Python build and run clients whose libraries send requests that no library in Rust sends; our clients are
# tested where a toolchain for them is there. The units of systemd are tested in a container, which debootstrap makes.
TEST_PACKAGES := etcdctl:etcd-client etcd:etcd-server protoc:protobuf-compiler :libprotobuf-dev strace:strace \
	go:golang-go python3:python3-venv systemd-analyze:systemd systemd-nspawn:systemd-container :debootstrap

# Where `make install` puts the files; packages set DESTDIR. BIN is the binary that it installs.
PREFIX ?= /usr/local
DESTDIR ?=
BIN ?= $(CARGO_TARGET_DIR)/release/conclave

.PHONY: help build install run cluster cluster-member test sim fuzz fuzz-keep bench lint fmt bench-clients stubs \
	glassfish test-glassfish packages cargo

help:
	@echo 'make run      build and start a member; its data is in default.conclave, its flags in ARGS="..."'
	@echo 'make cluster  build and start three members on this machine, to kill one and see the others go on'
	@echo 'make build    build the server'
	@echo 'make install  copy what make build has built, with systemd units and a manual; see deploy/RUNBOOK.md'
	@echo 'make test     build everything and run every test'
	@echo 'make client-go  build, test and pack a client, or client-java, client-python, client-rust, client-typescript'
	@echo 'make glassfish  start three members and two application servers, to kill some and see another lead'
	@echo 'make test-glassfish  kill, cut off and pause them in tests, which takes eight minutes'
	@echo 'make stubs    generate the code of the clients in other languages from proto/'
	@echo 'make sim      simulate clusters under faults; SEEDS=1000, or SEED=7 to print one step by step'
	@echo 'make fuzz     look for inputs that crash a member; TARGET=all SECONDS=3600, for each target'
	@echo 'make bench    load an endpoint; see ARGS="--help"'
	@echo 'make bench-clients  measure the clients beside other libraries; see clients/README.md'
	@echo 'make lint     run the checks of CI on the source, without the tests'
	@echo 'make fmt      format the source'

# The binary is built as a part of the workspace, so that dependencies have the same features as in `make test` and are
# not compiled twice.
run: cargo
	@.ci/packages $(BUILD_PACKAGES)
	cargo build --release --locked --workspace --bin conclave
	@exec "$$CARGO_TARGET_DIR/release/conclave" $(ARGS)

cluster: cargo
	@.ci/packages $(BUILD_PACKAGES)
	cargo build --release --locked --workspace --bin conclave
	@exec deploy/cluster.sh $(ARGS)

# Restarts a killed member. The binary exists, since the cluster runs.
cluster-member:
	@exec deploy/cluster.sh --member "$(NAME)" $(ARGS)

build: cargo
	@.ci/packages $(BUILD_PACKAGES)
	cargo build --release --locked --workspace --bin conclave

# Builds nothing, because root runs it. Settings of an operator are kept.
install:
	@[[ -x "$(BIN)" ]] || { \
		echo 'make install: $(BIN) is not there: run `make build`, or set CARGO_TARGET_DIR or BIN' >&2; exit 1; }
	install -D --mode=755 "$(BIN)" "$(DESTDIR)$(PREFIX)/bin/conclave"
	install -D --mode=644 deploy/conclave.8 "$(DESTDIR)$(PREFIX)/share/man/man8/conclave.8"
	install -D --mode=644 deploy/systemd/sysusers.conf "$(DESTDIR)$(PREFIX)/lib/sysusers.d/conclave.conf"
	install -D --mode=644 deploy/systemd/tmpfiles.conf "$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/conclave.conf"
	install -D --mode=644 --target-directory="$(DESTDIR)$(PREFIX)/lib/systemd/system" \
		deploy/systemd/*.service deploy/systemd/*.target
	sed --in-place 's#=/usr/local/bin/#=$(PREFIX)/bin/#' "$(DESTDIR)$(PREFIX)"/lib/systemd/system/conclave*.service
	@for file in deploy/systemd/*.env; do \
		installed="$(DESTDIR)/etc/conclave/$${file##*/}"; \
		if [[ -e "$$installed" ]]; then echo "$$installed is kept"; \
		else install -D --mode=644 "$$file" "$$installed"; fi; done

# CLIENTS names the languages whose clients are built; by default those whose toolchain is there.
test: CLIENTS ?=
test: cargo packages
	cargo build --release --workspace --locked
	.ci/clients build $(CLIENTS)
	clients/rust/packed.sh
	cargo test --release --workspace --locked

# The clients. `make test` builds and tests those whose toolchain is there.
client-%: cargo
	@.ci/packages $(BUILD_PACKAGES)
	cargo build --release --locked --workspace --bin conclave
	.ci/clients build "$*"

bench-clients: build
	@.ci/packages curl:curl
	@exec clients/bench.sh $(ARGS)

stubs:
	.ci/clients stubs

glassfish: build
	@.ci/packages mvn:maven java:openjdk-17-jdk-headless curl:curl
	@exec clients/java/examples/glassfish/run.sh

# Not a part of `make test`, since application servers take minutes to start and stop; CI runs it.
test-glassfish: build
	clients/java/examples/glassfish/test.sh $(ARGS)

# The simulator, whose short run is a part of `make test`. With BUG=answer_before_sync or BUG=read_context_twice it runs
# on a core with that bug, which has its own target directory, and must find the bug. See tests/sim/README.md.
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

# Copies some of the inputs it has found into the tree.
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

# The target directory is shared by all clones. Cargo would use another clone's build for this one if that build is newer
# than the sources here. So the first build in this clone after a build in another one discards the workspace's own
# crates, which takes a minute or two to build again.
cargo:
	@command -v cargo >/dev/null || { \
		echo 'Rust is missing: install rustup from https://rustup.rs, then run this again.' >&2; exit 1; }
	@built_for="$$CARGO_TARGET_DIR/built-for"; \
	if [[ -d "$$CARGO_TARGET_DIR" && "$$(cat "$$built_for" 2>/dev/null)" != "$(CURDIR)" ]]; then \
		cargo clean --quiet --release --workspace --locked; fi; \
	mkdir -p "$$CARGO_TARGET_DIR"; echo "$(CURDIR)" > "$$built_for"
