# make demo   the whole path on simulated corpora: report.html, table, MLflow run
# make test   the test suite
# make baselines   networks of other groups beside ours (docs/baselines.md)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo baselines test test-all check bench setup clean

# torch comes first and alone: asked for by another package, a resolver may take another build of it.
$(READY): constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing (minutes the first time) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(READY)

demo: $(READY)
	$(BIN)/mdjpt demo

test: $(READY)
	$(BIN)/python -m pytest

test-all: baselines
	$(BIN)/python -m pytest -m ''

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torchaudio comes with braindecode; where it does not fit this torch its compiled files are set aside.
baselines: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,baselines]'
	$(BIN)/python -m mdjpt_platform.library.repair

bench: $(READY)
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf demo runs data .pytest_cache .mypy_cache .ruff_cache
