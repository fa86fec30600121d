# Attune: every task there is. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Everything that is built lies outside the checkout, keyed by the hash of its inputs.
export ATTUNE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/attune
PYTHON ?= python3
VENV := $(ATTUNE_CACHE)/venvs/$(shell sha256sum requirements/dev.txt | cut -c1-16)
BIN := $(VENV)/bin
export PYTHONPATH := $(CURDIR)/contract:$(CURDIR)/operator:$(CURDIR)/trainer-image:$(CURDIR)/devcluster
export PYTHONDONTWRITEBYTECODE := 1
# Threads of torch that wait do not spin: on two cores they would starve the cluster beside them.
export OMP_WAIT_POLICY := PASSIVE
UV := uv==0.13.8

include devcluster/make.mk

.PHONY: help venv demo demo-retraining test unit lint format generate lock install cluster-test faults soak test-ready bench gpu-test clean

help: ## list these tasks
	@echo "Attune: fine-tuning language models as a Kubernetes resource. Tasks:"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | sort | column -t -s '|'

venv: $(VENV)/READY ## the Python environment of development and tests

$(VENV)/READY:
	@devcluster/venv.sh "$(PYTHON)" "$(VENV)" requirements/dev.txt "$(UV)"

demo: venv ## a cluster, the operator, and a real FineTuneJob from its data to its verdict
	@$(BIN)/python examples/demo.py

demo-retraining: venv ## train, promote, the world changes, drift is seen, retrained, promoted, rolled back (ten minutes)
	@$(BIN)/python examples/demo_retraining.py

test: lint test-ready ## everything that CI runs
	@tests/browser/ensure.sh
	@$(BIN)/python -m pytest -p no:cacheprovider -n 2 --durations=40 --durations-min=5

unit: venv ## tests of pure code, in seconds
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit tests/contract -m "not slow"

lint: venv ## ruff, mypy --strict, import-linter, generated files
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@said=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$said"; exit 1; }
	@$(BIN)/python -m attune_operator.generate --check
	@echo "lint: ruff, mypy, import-linter and generated files are clean"

format: venv ## format the code
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

generate: venv ## write crds/, the chart's copy of them and docs/reference/ from the typed models
	@$(BIN)/python -m attune_operator.generate

lock: venv ## pin requirements/*.txt from pyproject.toml
	@devcluster/lock.sh "$(BIN)/uv"

install: venv cluster-up image ## install the chart on the development cluster
	@$(DEVCLUSTER).install

test-ready: venv install

cluster-test: venv ## tests on the standing cluster; K=name runs those that match
	@$(BIN)/python -m pytest -p no:cacheprovider tests/cluster tests/faults $(if $(K),-k "$(K)")

# Stalled requests outlast the operator's own limit of 30 s here; in `make test` they take 2 s.
faults: venv test-ready ## all of the fault suite and of Kueue's, and its tables in docs/reliability.md; K=name runs those that match
	@ATTUNE_FAULTS=all ATTUNE_FAULTS_STALL=$${ATTUNE_FAULTS_STALL:-31} $(BIN)/python -m pytest -p no:cacheprovider tests/faults tests/cluster/test_kueue.py $(if $(K),-k "$(K)")

soak: venv test-ready ## RUNS=300 short runs in MINUTES=60 with harm by chance, and PLAYED=300 beside; in docs/reliability.md
	@ATTUNE_FAULTS=all ATTUNE_SOAK_RUNS=$(or $(RUNS),300) ATTUNE_SOAK_PLAYED=$(or $(PLAYED),300) \
		ATTUNE_SOAK_MINUTES=$(or $(MINUTES),60) \
		$(BIN)/python -m pytest -p no:cacheprovider -n 2 tests/faults/test_soak.py tests/faults/test_long_service.py

gpu-test: venv ## tests that need a CUDA GPU; they skip themselves where there is none
	@$(BIN)/python -m pytest -p no:cacheprovider tests/gpu

bench: venv install ## figures of stages' starts, preflight, evaluation and operator on this cluster, and of (SCALE=10000) runs beside it
	@$(BIN)/python benchmarks/start.py
	@$(BIN)/python benchmarks/preflight.py
	@$(BIN)/python benchmarks/evaluation.py
	@$(PYTHON) -m attune_devcluster up --with kwok
	@$(BIN)/python benchmarks/operator.py
	@$(BIN)/python benchmarks/operator.py --scale $(or $(SCALE),10000) $(if $(WHOLE),--whole $(WHOLE))

clean: ## remove the Python environments; builds and cluster state stay (cluster-down --purge removes those)
	@rm -rf "$(ATTUNE_CACHE)/venvs"
