# One stamp sets the clone up; it depends on every pyproject.toml, so an edited one sets up again.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PROJECTS := pyproject.toml $(wildcard caf_*/pyproject.toml plugins/*/pyproject.toml)
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
BENCHMARK_STAMP := $(VENV)/.installed-benchmark
EDITABLE := -e . $(foreach p,$(wildcard caf_*/pyproject.toml plugins/*/pyproject.toml),-e $(dir $(p)))

# Many tests wait for schedulers more than they compute.
WORKERS ?= $(shell n=$$(nproc); echo $$((n > 4 ? n : 4)))

.PHONY: help setup demo demo-pandora test lint test-slow test-versions test-postgresql test-clusters benchmark kill-campaign dist docs clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(STAMP): $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "caf needs Python 3.11 or later, and $(PYTHON) is " + sys.version.split()[0] + ": call make PYTHON=python3.11")'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --quiet --python $(PY) $(EDITABLE) --group dev
	touch $@

setup: $(STAMP)  ## Make the virtual environment in .venv with every distribution editable

demo: $(STAMP)  ## Calibrate the muon momentum scale; DATA=folder takes real files
	$(PY) docs/examples/demo.py $(if $(DATA),--data "$(DATA)") --output demo

demo-pandora: $(STAMP)  ## Calibrate a calorimeter with a service and resident workers; BACKEND=slurm|htcondor
	$(PY) -m caf_pandora.demo --service --output demo-pandora $(if $(BACKEND),--backend $(BACKEND))

lint: $(STAMP)  ## ruff, mypy, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: $(STAMP)  ## Run the tests and check the code
	$(PY) -m pytest -n $(WORKERS) -m "not slow and not cluster and not postgresql"
	@$(MAKE) --no-print-directory lint

test-slow: $(DOCS_STAMP)  ## The crash tests, builds and installs that take minutes
	$(PY) -m pytest -n $(WORKERS) -m "slow and not cluster and not postgresql"

# The core's tests with the lowest versions that its pyproject.toml allows, and with the newest of everything.
CORE := -e . -e plugins/caf_local -e plugins/caf_strategies --group core-tests
CORE_TESTS := tests/core tests/strategies tests/local tests/cli/test_app.py tests/cli/test_payloads.py \
	tests/cli/test_run.py -m "not slow and not cluster and not postgresql"
PYTHONS := $(HOME)/.pyenv/versions/*/bin/python3 /usr/local/bin/python3.?? /usr/bin/python3.?? $(PYTHON)
NEWEST ?= $(shell for python in $(PYTHONS); do \
	$$python -c 'import sys; print("%d.%03d" % sys.version_info[:2], sys.executable)' 2>/dev/null </dev/null; \
	done | sort | tail -n 1 | cut -d " " -f 2)

test-versions: $(STAMP)  ## The core's quick tests: Python 3.11 with the lowest versions, the newest Python with the newest
	$(VENV)/bin/uv venv --quiet --clear --python 3.11 $(VENV)/lowest
	$(VENV)/bin/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --resolution lowest-direct --python-version 3.11 \
		--output-file $(VENV)/lowest/pins.txt pyproject.toml
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/lowest/bin/python --requirement $(VENV)/lowest/pins.txt $(CORE)
	$(VENV)/lowest/bin/python -m pytest -n $(WORKERS) $(CORE_TESTS)
	$(VENV)/bin/uv venv --quiet --clear --python $(NEWEST) $(VENV)/newest
	$(VENV)/bin/uv pip install --quiet --upgrade --python $(VENV)/newest/bin/python $(CORE)
	$(VENV)/newest/bin/python -m pytest -n $(WORKERS) $(CORE_TESTS)

test-postgresql: $(STAMP)  ## The tests of the service, the slow ones too, on a real PostgreSQL, which is started here
	tests/service/with-postgresql $(PY) -m pytest -n $(WORKERS) -m postgresql tests/service

test-clusters: $(STAMP)  ## The tests on a real HTCondor and a real Slurm, which are started here
	$(PY) -m pytest -n 4 --dist loadgroup -m cluster tests/clusters

$(DOCS_STAMP): $(STAMP)
	$(VENV)/bin/uv pip install --quiet --python $(PY) --group docs
	touch $@

dist: $(STAMP)  ## Build every distribution in dist/ (sdist, wheel), check their metadata, and install each alone
	rm -rf dist
	for project in . $(dir $(wildcard caf_*/pyproject.toml plugins/*/pyproject.toml)); do \
		$(PY) -m build --no-isolation --outdir dist $$project || exit 1; done
	$(PY) -m twine check --strict dist/*
	CAF_DIST=$(CURDIR)/dist $(PY) -m pytest -m slow tests/packaging/test_distributions.py

docs: $(DOCS_STAMP)  ## Build the documentation in docs/_build/html; warnings are errors
	$(PY) -m sphinx --quiet --fail-on-warning --keep-going --jobs auto -b html docs docs/_build/html

$(BENCHMARK_STAMP): $(STAMP)
	$(VENV)/bin/uv pip install --quiet --python $(PY) --group benchmark
	touch $@

benchmark: $(BENCHMARK_STAMP)  ## Print what everything costs beside its budget; ARGS="--quick" or "--json FILE"
	$(PY) tests/benchmarks $(ARGS)

kill-campaign: $(STAMP)  ## Kill processes at random moments and compare; ARGS="--rounds 500 --seed 2 --jobs 4"
	$(PY) tests/kills $(ARGS)

clean:  ## Remove what make made
	rm -rf $(VENV) demo demo-pandora dist build docs/_build
