# Two commands do all the set-up: `make demo` and `make test`. Needed beforehand: Rust (rustc, cargo), Go, a C
# compiler, bash, make, curl, openssl, tar, script and unshare (util-linux), ip (iproute2). Everything else is built
# into .cache/ and target/.
# `make bench` alone installs packages: see docs/performance.md.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CARGO_TERM_COLOR ?= auto
CACHE := $(CURDIR)/.cache
DENY := $(CACHE)/tools/bin/cargo-deny
DENY_VERSION := 0.20.2
SOAK_CASES = $(or $(CASES),1000000)
SOAK_SEED := $(or $(SEED),$(shell date +%s))

.PHONY: help demo test fmt lint unit seeds work behaviour doc deny cluster kubectls helm bench soak fuzz

help: ## What can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: cluster ## The main job on real parts: kubectl, relay, tunnel, exit, a real kube-apiserver (KEEP=1 leaves it running)
	@cargo build --locked
	@demo/run.sh

test: ## Everything that must hold
	@tests/run.sh

cluster: ## Build the real Kubernetes for tests and demo (about 10 minutes once)
	@tests/cluster/build.sh > /dev/null

kubectls: ## Other kubectls than the cluster's own, for the tests (about 3 minutes once)
	@tests/cluster/kubectls.sh > /dev/null

helm: ## Helm, for the tests of the chart (about 3 minutes once)
	@tests/cluster/helm.sh > /dev/null

fmt: ## The form of the code
	cargo fmt --all --check

lint: ## The house's lints, as errors
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench: ## Gangplank beside its peers on this machine, which must have nothing else to do (QUICK=1: five minutes; ARGS='--rows k16')
	@benches/peers.sh
	@cargo bench --locked --quiet --bench side_by_side -- $(if $(QUICK),--quick) $(ARGS)

unit: ## Tests of the parts
	cargo test --locked --workspace --lib --bins
	cargo test --locked --package gangplank-relay --test behaviour

seeds: ## The fuzz targets compile, and take their seeds
	cargo test --locked --test seeds
	cargo check --locked --quiet --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --no-default-features --bins

soak: cluster kubectls helm ## Loads of minutes, attacks at full size, every fault in turn; a million hostile requests and chains beside Go's verdicts, new each time (CASES=1000 SEED=7)
	GANGPLANK_CASES=$(SOAK_CASES) GANGPLANK_SEED=$(SOAK_SEED) \
	  cargo test --locked --release -p gangplank-proxy --lib -- hostile_requests_before hostile_requests_where --nocapture
	GANGPLANK_CHAINS=$(SOAK_CASES) GANGPLANK_SEED=$(SOAK_SEED) \
	  cargo test --locked --release -p gangplank-pki --lib -- verdicts --nocapture
	cargo test --locked --release --test behaviour -- --ignored soak --nocapture --test-threads=1

fuzz: ## Each parser of hostile bytes under libFuzzer, which needs a C++ compiler (MINUTES=10 TARGETS='chain pem')
	@fuzz/run.sh $(or $(MINUTES),10) $(TARGETS)

work: ## Allocations and datagrams of a request, against recorded prices (CASES='get1 idle'; PROFILE=1 writes target/work/)
	$(if $(PROFILE),WORK_PROFILES=$(CURDIR)/target/work )cargo test --locked --test work -- $(CASES)

behaviour: cluster kubectls helm ## Black-box tests of the program before a real API server
	cargo test --locked --test behaviour

doc: ## Documentation without warnings, and its examples
	cargo test --locked --workspace --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

deny: $(DENY) ## Licences, sources, banned crates, advisories
	$(DENY) check bans licenses sources
	@demo=$$(mktemp); if $(DENY) check advisories 2> $$demo; then cat $$demo; \
	elif grep -q 'failed to fetch advisory database' $$demo; then \
	  echo 'advisories: SKIPPED, the advisory database cannot be reached from this machine'; \
	else cat $$demo; exit 1; fi; rm -f $$demo

$(DENY):
	cargo install --locked --quiet cargo-deny --version $(DENY_VERSION) --root $(CACHE)/tools
