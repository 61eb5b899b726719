# Everything here needs only Python 3.11+ and make. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

venv := .venv
bin := $(venv)/bin
build := build

# Tests and tools write below build/, never into ~/airflow.
export AIRFLOW_HOME := $(CURDIR)/$(build)/test/airflow
export PYTHONDONTWRITEBYTECODE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH VIRTUAL_ENV

.PHONY: help demo test lint test-mysql hostile crash matrix lowest newest bench bench-quick docs screenshots dist up down lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(venv)/demo.stamp  ## send 2,000 made-up CRM leads through a real Airflow to a local stand-in of the API
	@$(bin)/python -m demo.run

up: $(venv)/demo.stamp  ## leave Airflow's UI and the sandbox's page running, and print their addresses
	@$(bin)/python -m demo.up

down:  ## end what `make up` started
	@if [ -x $(bin)/python ]; then $(bin)/python -m demo.down; else echo "Nothing is running."; fi

test: lint  ## check style, types and architecture, then run every test that needs no system package
	@$(bin)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(venv)/test.stamp  ## ruff, mypy and the import contracts
	@$(bin)/ruff check --cache-dir $(build)/ruff .
	@$(bin)/ruff format --cache-dir $(build)/ruff --check .
	@$(bin)/mypy
	@$(bin)/lint-imports

test-mysql: $(venv)/mysql.stamp  ## install MariaDB through apt and run the SQL tests against it
	@$(bin)/python -m pytest -m mysql

hostile: $(venv)/mysql.stamp  ## hostile servers, living tries, poolers and failovers at full length, and what each did before
	@requirements/install-pgbouncer
	@$(bin)/python -m pytest -m "hostile or pgbouncer"
	@$(bin)/python -m tests.hostile.figures

crash: $(venv)/test.stamp  ## kill sends a hundred times, with every memory and in a real scheduler, and count what arrived
	@$(bin)/python -m pytest -m "not mysql" tests/crash tests/ledger/test_overlap.py tests/ledger/test_baseline.py

matrix: $(venv)/python.stamp  ## run the tests on every Airflow and Python that is supported; CELL="…" and TIER="…" choose
	@$(bin)/python -m matrix $(addprefix --cell ,$(CELL)) $(addprefix --tier ,$(TIER))

lowest newest: $(venv)/python.stamp  ## the same beside the lowest versions that are declared, or the newest that there are
	@$(bin)/python -m matrix --cell $@ $(addprefix --tier ,$(TIER))

bench: $(venv)/test.stamp $(build)/peers/installed.stamp  ## measure speed, limits and memory beside peers, 40 minutes, into docs/performance.md
	@requirements/install-nginx
	@$(bin)/python -m benchmarks
	@$(bin)/python -m benchmarks.report --write

bench-quick: $(venv)/test.stamp $(build)/peers/installed.stamp  ## the same in 3 minutes, without limited servers and the million rows
	@requirements/install-nginx
	@$(bin)/python -m benchmarks --quick

docs: $(venv)/docs.stamp  ## build the documentation into build/docs, with warnings as errors
	@$(bin)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet --doctree-dir $(build)/doctrees docs $(build)/docs
	@echo "$(build)/docs/index.html"

screenshots: $(venv)/demo.stamp $(build)/screenshots-tools/installed.stamp  ## take the pictures of docs/images anew, of a real Airflow with headless Chromium
	@requirements/install-chromium
	@$(bin)/python -m screenshots

dist: $(build)/dist-tools/installed.stamp  ## build the wheel and the source distribution into dist/, and check them
	@rm -rf dist
	@$(build)/dist-tools/bin/python -m build --no-isolation --outdir dist . >$(build)/dist.log
	@$(build)/dist-tools/bin/python -m twine check --strict dist/*

lock: $(venv)/test.stamp  ## work the pinned and hashed requirements out anew
	@requirements/lock
	@requirements/lock-matrix

clean:  ## end what runs, and remove what the targets made
	@$(MAKE) --no-print-directory down
	rm -rf $(venv) $(build) dist

# One environment, filled step by step: demo < test < mysql, each a superset with the same pins. It is made anew when
# the pins change, so that nothing of the old ones stays behind.
$(venv)/python.stamp: requirements/new-venv $(filter-out requirements/bench-peers.txt requirements/dist.txt requirements/screenshots.txt,$(wildcard requirements/*.txt))
	@requirements/new-venv $(venv)
	@touch $@

$(venv)/demo.stamp: $(venv)/python.stamp pyproject.toml
	@requirements/install $(venv) requirements/demo.txt
	@touch $@

$(venv)/test.stamp: $(venv)/demo.stamp
	@requirements/install $(venv) requirements/test.txt
	@touch $@

$(venv)/mysql.stamp: $(venv)/test.stamp requirements/install-mariadb
	@requirements/install-mariadb
	@requirements/install $(venv) requirements/mysql.txt
	@touch $@

$(venv)/docs.stamp: $(venv)/test.stamp
	@requirements/install $(venv) requirements/docs.txt
	@touch $@

# What builds and checks the distributions.
$(build)/dist-tools/installed.stamp: requirements/install-tools requirements/new-venv requirements/dist.txt
	@requirements/install-tools $(build)/dist-tools requirements/dist.txt
	@touch $@

# What drives the browser; Airflow runs in $(venv).
$(build)/screenshots-tools/installed.stamp: requirements/install-tools requirements/new-venv requirements/screenshots.txt
	@requirements/install-tools $(build)/screenshots-tools requirements/screenshots.txt
	@touch $@

# What the benchmarks compare with never meets the pins above.
$(build)/peers/installed.stamp: requirements/install-tools requirements/new-venv requirements/bench-peers.txt
	@requirements/install-tools $(build)/peers requirements/bench-peers.txt
	@touch $@
