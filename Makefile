# Two commands for a newcomer: `make demo` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
ROOMS := audio cluster configs eval images infer ingest models train
READY := $(VENV)/.ready

.PHONY: setup demo models test test-long quality lint types collection bench chaos oracle clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "invertone: $(PYTHON) is older than Python 3.11; install a newer one or name it: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[speech,notebook,dev]'
	@touch $(READY)

demo: setup
	$(BIN)/invertone demo

# The models that come with the package, again from nothing: an hour and a half on two cores.
models: setup
	@echo "The generator takes an hour on one core, classifier and mappers five to fifteen minutes each; Ctrl-C, and the same command goes on."
	$(BIN)/invertone demo shipped-models

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# Whole roads, sweeps and chaos, one after the other: half an hour and more. Before a release.
test-long: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m long --timeout 900

# Lint, types and both collections, two at a time.
quality: setup
	@$(MAKE) --no-print-directory --jobs 2 lint types collection

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# As it is installed: the rooms within `invertone`. mypy follows links, but no editable installation.
types:
	@rm -rf build/types && mkdir -p build/types/invertone
	@ln -s $(CURDIR)/invertone/*.py $(addprefix $(CURDIR)/,$(ROOMS)) build/types/invertone/
	MYPYPATH=build/types $(BIN)/mypy

collection:
	$(BIN)/python -m tests.collection

bench: setup
	$(BIN)/python -m benchmarks

chaos: setup
	$(BIN)/python -m tests.chaos

oracle: setup
	$(BIN)/python -m tests.oracles.measures
	$(BIN)/python -m tests.oracles

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
