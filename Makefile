# Everything happens in .venv; a second call installs nothing.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RECIPE ?= recipes/quickstart.yaml

.PHONY: setup quickstart test soak lint types docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "error: $(PYTHON) is not Python 3.11 or newer; install it, or set PYTHON=" >&2; exit 2; }
	@echo "setting up $(VENV); the first time it takes some minutes"
	@# without pip it is what an interrupted set-up left
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@# torch first and by its exact version: some machines hold a CPU build of it, which is then taken
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

quickstart: setup
	$(BIN)/sagecraft run $(RECIPE)

test: setup lint types
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "not soak"

soak: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ray]"
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m soak --timeout 7200

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

docs: setup
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/e2e/test_docs.py

# What was trained stays: runs/ may hold days of work.
clean:
	rm -rf $(VENV) build dist
