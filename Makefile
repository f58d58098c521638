# Every command a person needs. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

UV_VERSION := 0.13.8
# uv as it is on PATH, or pip's copy in a place of its own where it is missing.
UV := $(or $(shell command -v uv),.toolchain/uv/bin/uv)
PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
TOOLCHAIN := $(PYTHON) -m toolchain
SANDBOX := .venv/bin/pavedpath-sandbox
# Which environment `up`, `preview`, `summary` and `down` are about: dev or prod.
ENVIRONMENT := dev
IN_SANDBOX := environment="$$($(SANDBOX) env --environment $(ENVIRONMENT))" && eval "$$environment" &&
STACKS := shared $(ENVIRONMENT)
FOR := $(if $(filter-out dev,$(ENVIRONMENT)), ENVIRONMENT=$(ENVIRONMENT))
# This repository's own workflows, and those that the catalogue renders.
WORKFLOWS = $(wildcard .github/workflows/*.yml) $(shell find tests/unit/workflows/golden -name '*.yml' -not -path '*/other/*' | sort)
NEWER_THAN_ACTIONLINT := -ignore 'unexpected key "queue" for "concurrency" section'
STATES := $${PAVEDPATH_SANDBOX_DIR:-.sandbox}/pulumi/.pulumi/stacks/pavedpath

##@ The main job
.PHONY: up preview summary down runner-layer bootstrap
up: toolchain-ready sandbox-up  ## Bring the dev stack up in the local sandbox (prod: make up ENVIRONMENT=prod)
	@$(IN_SANDBOX) .venv/bin/pavedpath stack up $(STACKS) --next 'make preview$(FOR)' --next 'make test' --next 'make down$(FOR)' --whole 'make summary$(FOR)'
	@$(SANDBOX) app-key --into pavedpath/$(ENVIRONMENT)/fleet/app-key --environment $(ENVIRONMENT)

preview: toolchain-ready sandbox-up  ## Show what `make up` would change (first repairs what a killed run left)
	@$(IN_SANDBOX) .venv/bin/pavedpath stack preview $(STACKS)

summary: $(INSTALLED)  ## Show everything that exists, by layer
	@$(IN_SANDBOX) .venv/bin/pavedpath stack summary --all $(STACKS)

ifeq ($(ENVIRONMENT),dev)
down: $(INSTALLED)  ## Destroy the stacks and remove the sandbox: nothing is left behind (prod goes first, if it stands)
	@if [ -e "$(STATES)/prod.json" ]; then echo "prod stands in the sandbox too, and would go with it." \
	  "Fix: make down ENVIRONMENT=prod first, or make sandbox-reset for everything" >&2; exit 1; fi
	@if [ -d "$${PAVEDPATH_SANDBOX_DIR:-.sandbox}" ]; then $(SANDBOX) up && $(IN_SANDBOX) .venv/bin/pavedpath stack down --yes dev shared && $(SANDBOX) reset; fi
else
down: sandbox-up
	@$(IN_SANDBOX) .venv/bin/pavedpath stack down --yes $(ENVIRONMENT)
endif

runner-layer: $(INSTALLED)  ## Get the compiled dependency of the runner fleet's functions, for accounts of AWS (docs/runners/index.md)
	@mkdir -p build && $(PYTHON) -m pavedpath.runner_fleet_layer build/runner-fleet-layer.zip

bootstrap: toolchain-ready  ## Make the place of a team's state: a bucket and a key in AWS (docs/state.md)
	@PATH="$(CURDIR)/.toolchain/bin:$$PATH" .venv/bin/pavedpath state bootstrap shared dev prod

##@ Stories
.PHONY: demo-delivery
demo-delivery: toolchain-ready  ## A change from commit to production and back, by the generated workflows (7 chapters; VERBOSE=1, FIRST=3)
	@$(PYTHON) -m demo.delivery $(if $(VERBOSE),--verbose) $(if $(FIRST),--first $(FIRST))

.PHONY: demo-fleet
demo-fleet: toolchain-ready  ## Hundreds of jobs over a runner fleet, with all that goes wrong (JOBS=60, SEED=2, KEEP=1, VERBOSE=1)
	@$(PYTHON) -m demo.fleet $(if $(JOBS),--jobs $(JOBS)) $(if $(SEED),--seed $(SEED)) $(if $(KEEP),--keep) $(if $(VERBOSE),--verbose)

##@ Checks
.PHONY: test test-unit test-integration lint bench docs
test: lint test-unit test-integration  ## Everything that must pass: lint, unit tests, the real thing

test-unit: $(INSTALLED)  ## The tests that need no toolchain (those of Jenkinsfiles want Maven and Java, and are skipped without)
	@if command -v mvn >/dev/null && command -v java >/dev/null; then $(PYTHON) -m toolchain.groovy; fi
	@$(PYTHON) -m pytest tests/unit tests/components tests/stacks -q -n 2

test-integration: toolchain-ready  ## The tests with the real engine, providers and servers
	@PAVEDPATH_REQUIRE_TOOLCHAIN=1 $(PYTHON) -m pytest tests/integration -v -n 2 --dist loadfile

lint: toolchain-ready  ## Style, types, arrows between rooms, workflows, committed schemas
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
	@.venv/bin/pyright
	@.venv/bin/lint-imports
	@$(PYTHON) .github/generate.py --check
	@.venv/bin/zizmor --offline --quiet --min-severity low $(WORKFLOWS)
	@.toolchain/bin/actionlint $(NEWER_THAN_ACTIONLINT) $(WORKFLOWS)
	@.venv/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)

bench: toolchain-ready  ## Measure; each table compares with a baseline of the same run
	@$(PYTHON) -m bench

docs: $(INSTALLED)  ## Build the documentation into site/, and fail on a broken link
	@$(PYTHON) -m docs.reference --build

##@ Parts
.PHONY: toolchain toolchain-ready sandbox-up sandbox-down sandbox-status sandbox-reset lock
toolchain: toolchain-ready  ## Get the engine, providers and tools, and show where each came from
	@$(TOOLCHAIN) table

toolchain-ready: $(INSTALLED)
	@$(TOOLCHAIN) ensure

sandbox-up: toolchain-ready  ## Start the local AWS, GitHub, Kubernetes and registry
	@$(SANDBOX) up --environment $(ENVIRONMENT)

sandbox-down: $(INSTALLED)  ## Stop the sandbox and keep its state
	@$(SANDBOX) down

sandbox-status: $(INSTALLED)  ## Say which part of the sandbox is healthy
	@$(SANDBOX) status

sandbox-reset: $(INSTALLED)  ## Stop the sandbox and delete its state, the stacks' included
	@$(SANDBOX) reset

lock: $(UV)  ## Resolve requirements.lock anew (docs/decisions/0001-one-lock-file.md)
	@$(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --all-extras --no-emit-package pavedpath --no-emit-package pavedpath-runners \
	  --no-emit-package pavedpath-delivery --no-emit-package pavedpath-sandbox \
	  -o requirements.lock requirements.in pyproject.toml

.PHONY: help
help:  ## Show this list
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*##/ {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock components/pyproject.toml runners/pyproject.toml delivery/pyproject.toml sandbox/pyproject.toml | $(UV)
	@echo "Installing the Python packages of requirements.lock"
	@[ -x $(PYTHON) ] || $(UV) venv -q --python '>=3.11' .venv
	@$(UV) pip sync -q --python $(PYTHON) --require-hashes requirements.lock
	@$(UV) pip install -q --python $(PYTHON) --no-deps --no-build-isolation -e components -e runners -e delivery -e sandbox
	@touch $@

.toolchain/uv/bin/uv:
	@echo "Getting uv $(UV_VERSION) through pip"
	@python3 -m venv .toolchain/uv && .toolchain/uv/bin/pip install -q uv==$(UV_VERSION)
