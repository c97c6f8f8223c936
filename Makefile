# Penstock: every target does its own set-up. Needed beforehand: Python >= 3.11 with venv, a Rust toolchain, make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml 2>/dev/null | grep -v /target/)

.DEFAULT_GOAL := help
.PHONY: help demo build test test-rust simulate simulate-faults test-python test-instructions lint fmt fuzz soak-kills locust bench bench-rivals \
  bench-load bench-inproc bench-micro bench-exactness bench-goodput bench-engine lock picture clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## start Penstock on 127.0.0.1:8080 with both tiers on small real models
	$(BIN)/penstock demo

build: $(VENV)/.release ## build with optimisations and install into .venv

test: lint test-rust simulate test-python test-instructions ## everything that CI runs
	@sort -u $(addprefix $(VENV)/not-run.,lane aiohttp instructions) | tee $(VENV)/not-run \
	  | comm -13 tests/not-run.txt - > $(VENV)/not-run.new; cat $(VENV)/not-run
	@test ! -s $(VENV)/not-run.new || { echo "more was not run than tests/not-run.txt allows"; exit 1; }

test-rust: ## the Rust side's tests: parsers, admission, exchange, every recording at every split
	cargo test --workspace --exclude penstock-binding
	cargo test -p penstock-core --features trace --test worker trace:: -- --test-threads=1

SEEDS ?= 256
STEPS ?= 3000
simulate: ## the whole gateway on virtual time: SEEDS seeds of STEPS events each (half a minute); OPTIONS repeats one
	cargo run --quiet -p penstock-simulation -- $(or $(OPTIONS),--seeds $(SEEDS) --steps $(STEPS))

simulate-faults: ## put each known fault back, and count the seeds until the simulation finds it (some minutes)
	$(PYTHON) rust/simulation/faults/find.py

test-python: $(VENV)/.debug ## Python tests: units, protocol, integration with simulated and real engines, mixed traffic
	PENSTOCK_NOT_RUN=$(VENV)/not-run.lane $(BIN)/python -m pytest
	PENSTOCK_NOT_RUN=$(VENV)/not-run.aiohttp PENSTOCK_LANE=off $(BIN)/python -m pytest -m "not once" \
	  tests/conformance tests/faults tests/integration tests/mixed

test-instructions: build ## instructions of a request and of an event in process, against their ceilings (valgrind)
	$(BIN)/python benches/inproc/instructions.py > $(VENV)/not-run.instructions

lint: $(VENV)/.debug ## rustfmt, clippy, ruff, mypy, stubtest
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy -p benches.goodput
	$(BIN)/mypy -p tests.structure
	$(BIN)/python -m mypy.stubtest penstock._core

fmt: $(VENV)/.tools ## format Rust and Python
	cargo fmt --all
	$(BIN)/ruff check --fix --select I
	$(BIN)/ruff format

FUZZ_SECONDS ?= 60
fuzz: ## fuzz each parser for FUZZ_SECONDS (needs cargo-fuzz)
	for target in $$(cd rust/core && RUSTC_BOOTSTRAP=1 cargo fuzz list); do \
	  (cd rust/core && RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS)) || exit 1; \
	done

KILLS ?= 200
soak-kills: build ## kill workers KILLS times under load and count what the backend runs (some minutes)
	PENSTOCK_KILLS=$(KILLS) $(BIN)/python -m pytest -q -s --timeout=1800 tests/integration/test_workers.py -k never_runs_more

# `=` and not `?=`: some shells export HOST.
USERS = 20
RATE = 10
TIME = 30s
HOST =
locust: build ## load with locust: USERS, RATE, TIME, HOST; without HOST against simulated engines of its own
	$(BIN)/python benches/locust/run.py --headless -u $(USERS) -r $(RATE) -t $(TIME) --stop-timeout 60 --unique-prompts \
	  $(if $(HOST),--host $(HOST))

ROUNDS ?= 5
bench: bench-load bench-inproc bench-micro ## Penstock beside nginx, in process, body reader and admission alone (an hour)

bench-load: build $(VENV)/.load ## CPU, latency, workers, 10,000 streams; Penstock beside nginx, one core (40 minutes)
	$(BIN)/python benches/load/run.py --rounds $(ROUNDS) --out benches/results
	$(BIN)/python benches/load/latency.py --out benches/results
	$(BIN)/python benches/load/workers.py --rounds $(ROUNDS) --out benches/results
	$(BIN)/python benches/load/spread.py --out benches/results
	$(BIN)/python benches/load/handover.py --out benches/results
	$(BIN)/python benches/load/crowd.py --out benches/results

RIVALS ?= .rivals
bench-rivals: build $(VENV)/.load ## Penstock beside every rival that can be had from a package registry (20 minutes)
	-cd benches/load && $(abspath $(BIN))/python -m rivals.install $(abspath $(RIVALS))
	$(BIN)/python benches/load/run.py --rounds $(ROUNDS) --peer all --home $(RIVALS) --name rivals --out benches/results

bench-inproc: build ## microseconds per request and per event, without a kernel
	$(BIN)/python benches/inproc/run.py

bench-micro: ## the core's own speed: a request's body, a grant, and four processes at one lock
	cargo bench -p penstock-admission -p penstock-core

bench-exactness: build ## four workers, limit 7, 2,000 clients: what the simulated backend has counted (2 minutes)
	$(BIN)/python benches/exactness/run.py

bench-goodput: build ## useful answers against load, by policy; simulated, table and plots (some minutes)
	$(BIN)/python -m benches.goodput.run --out benches/results

bench-engine: build ## the gate before a real llama.cpp server with 4 slots, beside an open gate (some minutes)
	$(BIN)/python benches/engine/run.py

lock: $(VENV)/.tools ## write the versions that are installed to python/requirements.lock
	grep '^#' python/requirements.lock > $(VENV)/lock
	$(BIN)/python -m pip list --format=freeze --exclude penstock --exclude pip --exclude setuptools >> $(VENV)/lock
	mv $(VENV)/lock python/requirements.lock

picture: $(VENV)/.tools ## draw who knows whom into the READMEs, from the code
	$(BIN)/python -m tests.structure.picture

clean: ## remove what was built
	rm -rf $(VENV) target rust/core/fuzz/target .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python -name '*.so' -delete

$(VENV)/.tools: python/requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-deps --requirement python/requirements.lock
	touch $@

$(VENV)/.load: $(VENV)/.tools Cargo.lock $(shell find benches/load -name '*.rs' -o -name Cargo.toml)
	cargo build --quiet --release -p penstock-load && touch $@

# Two builds share .venv, so each forgets the other.
$(VENV)/.release: $(VENV)/.tools pyproject.toml $(RUST)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release > $(VENV)/build.log || (cat $(VENV)/build.log; false)
	rm -f $(VENV)/.debug && touch $@

$(VENV)/.debug: $(VENV)/.tools pyproject.toml $(RUST)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --features faults > $(VENV)/build.log || (cat $(VENV)/build.log; false)
	rm -f $(VENV)/.release && touch $@
