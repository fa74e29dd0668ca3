# Every target makes what it needs by itself: the virtual environment in .venv, then the pinned install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
DOCS_STAMP := $(VENV)/.installed-docs
ENGINES_STAMP := $(VENV)/.installed-engines
# PyPI has the extensions of DuckDB for some releases only. That release is beside the environment, and comes first on the
# path of the tests that need one.
EXTENSIONS := $(VENV)/extensions
EXTENDED_DUCKDB := 1.5.5
# A stand-in for Snowflake, with the releases that it asks for. It runs as a process of its own.
FAKESNOW := $(VENV)/fakesnow
DEPLOY_STAMP := $(VENV)/.installed-deploy
LOCK_VENV := .venv-lock
TESTS ?= meter_pipeline_tests
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint requirements.lock
# On all cores, which pip does not use, and without the packages' own tests. Templates that are no Python are left out.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests/' $(VENV)/lib || true
# In the order of their names: sorted by the number of tests, the files with one long test would come last, to one core.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder
# Which tests `make test` runs. CI adds those of the wheel: in one run, neither waits for the last test of the other.
MARKS ?= not slow and not wheel and not deploy and not engines and not extensions

# With it set, every process would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo dev test wheel deploy-test engines coverage lint lint-style lint-types lint-models lint-defs format docs \
	lock bench screenshots crash slow clean install
.DEFAULT_GOAL := demo

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed; name one with: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned requirements into $(VENV)"
	@$(INSTALL) --editable '.[all,dev]'
	@$(COMPILE)
	@touch $@

$(BENCH_STAMP): $(STAMP)
	@$(INSTALL) --editable '.[all,dev,bench]'
	@$(COMPILE)
	@touch $@

$(DOCS_STAMP): $(STAMP)
	@$(INSTALL) --editable '.[all,dev,docs]'
	@$(COMPILE)
	@touch $@

$(ENGINES_STAMP): $(STAMP)
	@$(INSTALL) --editable '.[all,dev,engines]'
	@$(COMPILE)
	@rm -rf $(EXTENSIONS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(EXTENSIONS) \
		$(foreach name,duckdb $(addprefix duckdb-extension-,avro ducklake httpfs iceberg),$(name)==$(EXTENDED_DUCKDB))
	@rm -rf $(FAKESNOW)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(FAKESNOW) \
		fakesnow==0.12.1 duckdb==2.0.1 sqlglot==30.22.0
	@touch $@

$(DEPLOY_STAMP): $(STAMP)
	@$(INSTALL) --editable '.[all,dev,celery]'
	@$(COMPILE)
	@touch $@

demo: $(STAMP)
	@$(BIN)/meter-pipeline demo

dev: $(STAMP)
	@$(BIN)/meter-pipeline dev

test: $(STAMP)
	@$(BIN)/python -m pytest $(PYTEST_ARGS) -m '$(MARKS)' $(TESTS)

# What somebody has who never saw the repository: a wheel, built here, in an environment with nothing but what it needs.
wheel: $(STAMP)
	@$(BIN)/python -m pytest $(PYTEST_ARGS) -m wheel meter_pipeline_tests/builds

# A deployment of several workers, as processes of this machine; needs redis-server.
deploy-test: $(DEPLOY_STAMP)
	@$(BIN)/python -m pytest -m deploy meter_pipeline_tests/deploy

# Other engines read what was loaded, or get it by delivery; Spark needs Java (Debian: default-jre-headless).
engines: $(ENGINES_STAMP)
	@$(BIN)/python -m pytest -m engines meter_pipeline_tests/engines meter_pipeline_tests/store/warehouse/delivery
	@PYTHONPATH=$(CURDIR)/$(EXTENSIONS) $(BIN)/python -m pytest -m extensions meter_pipeline_tests/engines

# The quick tests with branch coverage; .coveragerc says what is left out on purpose. No threshold: read the list of lines.
# Processes that tests start are measured, too.
coverage: $(STAMP)
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest $(PYTEST_ARGS) --cov --cov-report=term:skip-covered --cov-report=html $(TESTS)

# With `make --jobs 2 lint`, the types are checked beside the rest.
lint: lint-types lint-style lint-models lint-defs

lint-style: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

lint-types: $(STAMP)
	@$(BIN)/mypy

lint-models: $(STAMP)
	@cd dbt_project && $(CURDIR)/$(BIN)/sqlfluff lint .

lint-defs: $(STAMP)
	@$(BIN)/dg check defs

format: $(STAMP)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# The reference of the commands, from their --help.
docs: $(STAMP)
	@$(BIN)/python -m meter_pipeline.cli_reference docs/cli.md

# The newest versions that pyproject.toml allows, for all supported versions of Python. pip locks for the running Python
# alone, so uv resolves, in an environment of its own; LOCK_ARGS may name an index or packages: --upgrade-package duckdb.
LOCK_ARGS ?= --upgrade
lock:
	@test -x $(LOCK_VENV)/bin/uv || { $(PYTHON) -m venv $(LOCK_VENV) && $(LOCK_VENV)/bin/pip install --quiet 'uv>=0.8'; }
	@$(LOCK_VENV)/bin/uv pip compile --quiet --universal --python-version 3.10 --all-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links $(LOCK_ARGS) --output-file requirements.lock pyproject.toml

bench: $(BENCH_STAMP)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

screenshots: $(DOCS_STAMP)
	@$(BIN)/python docs/screenshots.py $(SCREENSHOTS_ARGS)

# Everything: the parameters that the quick tests leave out, many more examples, hundreds of kills, every point of a crash,
# many processes at once, whole builds of the models.
slow: $(STAMP)
	@CRASHES=300 PUBLICATIONS=50 DELIVERIES=100 THOROUGH=20 $(BIN)/python -m pytest $(PYTEST_ARGS) -m 'not engines and not extensions' $(TESTS)

crash: $(STAMP)
	@CRASHES=300 $(BIN)/python -m pytest -m slow meter_pipeline_tests/behaviour/test_crash.py

clean:
	rm -rf $(VENV) $(LOCK_VENV) build dist .coverage htmlcov .pytest_cache .hypothesis .mypy_cache .ruff_cache dbt_project/target dbt_project/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
