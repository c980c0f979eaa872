# Two commands for a machine with Python 3.11-3.13, its venv module and make: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Processes that `make test` shares the tests among; a file's tests stay in one.
WORKERS ?= 2

export TF_CPP_MIN_LOG_LEVEL ?= 3
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.PHONY: help install demo test lint clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/  make \1\t\2/p' Makefile

install: $(STAMP)  ## make .venv and install everything that a workstation needs

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "expected Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d; name another: make PYTHON=python3.11" % v)'
	@$(PIP) --version >/dev/null 2>&1 || { echo "== making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "== installing into $(VENV) (about 700 MB to download the first time)"
	@$(PIP) install --quiet --progress-bar off --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo "== installed: . $(BIN)/activate"

demo: $(STAMP)  ## train, convert, run and benchmark a small model on drawn faces, then show the report
	@$(BIN)/python -m benchmarks demo

lint: $(STAMP)  ## ruff and mypy over the whole tree
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint  ## lint, types and every test: first those that may run side by side, then those marked `alone`
	$(BIN)/python -m pytest -m "not alone" -n $(WORKERS) --dist loadfile --no-loadscope-reorder; side=$$?; \
	$(BIN)/python -m pytest -m alone && exit $$side

clean:  ## remove what the commands made (not .venv)
	rm -rf build dist demo .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
