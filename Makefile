# The front door for people: `make demo` and `make test` set up everything they need on a bare clone.
# A fresh machine needs Python 3.11 or newer and make; Node is fetched as a wheel where it is missing.

PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A registry that is away for a moment is asked again.
export PIP_RETRIES ?= 10
export PIP_TIMEOUT ?= 60
export npm_config_fetch_retries ?= 6

LOCKS := requirements/runtime.txt requirements/upload.txt requirements/development.txt requirements/node.txt

.PHONY: help setup demo test postgresql check hooks format faults bench bench-solid browser clients screenshot lock clean

help: ## say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .setup/python .setup/assets ## virtual environment, locked dependencies, built page assets

# Made anew also where somebody has removed what it stands for; an environment that was cut off in the making is begun anew.
.setup/python: $(LOCKS) pyproject.toml $(if $(wildcard $(BIN)/pip),,.begin-anew)
	@mkdir -p .setup
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	# solid-file pins releases that the house has outgrown; it is installed without them (docs/adr/0003)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/upload.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.setup/assets: .setup/python $(wildcard dashboard/assets/*.json dashboard/assets/*.py dashboard/assets/.npmrc) $(if $(wildcard dashboard/static/built/manifest.json),,.begin-anew)
	@command -v npm >/dev/null || test -x $(BIN)/npm || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/node.txt
	PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python dashboard/assets/build.py
	touch $@

.PHONY: .begin-anew
.begin-anew:

demo: setup ## the running city: pods, partners, pages; Ctrl-C ends it, a second start goes on
	@exec $(BIN)/tvilling demo $(DEMO_ARGUMENTS)

browser: ## Chromium for the browser tests, where the machine lets it be installed
	@bash tests/browser/install_chromium.sh

clients: .setup/clients ## the Solid clients and the other Solid server that the tests run

.setup/clients: .setup/assets tests/clients/package-lock.json tests/community_server/package-lock.json $(if $(wildcard tests/clients/node_modules tests/community_server/node_modules),,.begin-anew)
	@PATH="$$PATH:$(CURDIR)/$(BIN)"
	for place in tests/clients tests/community_server; do
	  (cd $$place && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || missing=yes
	done
	if [ -z "$${missing:-}" ]; then touch $@; else
	  echo "The npm packages of the tests cannot be installed here: the tests of real Solid clients will be skipped." >&2
	fi

test: setup browser clients ## every test, in under ten minutes
	$(BIN)/python -m pytest -n 2 --dist loadgroup

faults: setup ## the crash tests and the state machines with hundreds of seeds: some twenty minutes on two cores (FAULT_RUNS=300)
	TVILLING_FAULT_RUNS=$(or $(FAULT_RUNS),300) $(BIN)/python -m pytest -n 2 --timeout 3600 tests/faults tests/models tests/protocol/doors/test_bad_deliveries.py

postgresql: setup ## every test on PostgreSQL; `make test` runs those on it that read, decide and write
	$(BIN)/python -m pytest -n 2 --dist loadgroup --engine postgresql --ignore tests/browser

check: setup ## linters, types and the arrows between the folders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

hooks: setup ## let git run the same checks before each commit
	$(BIN)/pre-commit install

format: setup ## put the code in the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## the measures of docs/performance.md
	@for file in $(filter-out benchmarks/machine.py benchmarks/solid.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python "$$file"; done

bench-solid: setup ## this server beside the Community Solid Server, in five minutes; needs wrk and npm
	PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python benchmarks/solid.py

screenshot: setup browser ## the README's picture, taken by a test
	TVILLING_SCREENSHOT=docs/pictures $(BIN)/python -m pytest tests/browser -m browser -k screenshot

lock: ## compile the lock files anew from pyproject.toml and requirements/*.in
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python requirements/compile.py

clean: ## remove what was built, never data
	rm -rf .venv .setup build dist dashboard/static/built dashboard/assets/node_modules *.egg-info
