# make demo   the whole path on simulated corpora: report.html, table, MLflow run
# make test   the test suite
# make bench  speed and memory (docs/performance.md); BENCH=--smoke for the smallest sizes
# make docs   this documentation as a site in site/
# make baselines   networks of other groups beside ours (docs/baselines.md)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo docs baselines test test-all check audit bench setup clean

# torch comes first and alone: asked for by another package, a resolver may take another build of it.
$(READY): constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing (minutes the first time) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[platform,dev]'
	@touch $@

setup: $(READY)

demo: $(READY)
	$(BIN)/mdjpt demo

test: $(READY)
	$(BIN)/python -m pytest

test-all: baselines
	$(BIN)/python -m pytest -m ''

# Looks every pin up in the databases of PyPI and OSV. Without a network that reaches them it says so and fails: an audit
# that audited nothing is none (pip-audit alone calls that "no known vulnerabilities"). `make check` holds the pins
# against security-floors.csv, which needs no network.
AUDIT := .venv-audit
audit:
	test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/pip install --quiet pip-audit; }
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt || { \
	  echo "make audit: findings above, or the advisory database was not reached: nothing can be said then" >&2; exit 1; }

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/contracts/test_security_floors.py

# torchaudio comes with braindecode; where it does not fit this torch its compiled files are set aside.
baselines: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[platform,dev,baselines]'
	$(BIN)/python -m mdjpt_platform.library.repair

docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[platform,docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

bench: $(READY)
	$(BIN)/python benchmarks/run.py $(BENCH)

clean:
	rm -rf demo runs data .pytest_cache .mypy_cache .ruff_cache
