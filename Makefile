# Everything happens in .venv; a second call installs nothing.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A CPU build of torch stands on some machines' disks under exactly this version; elsewhere the index has it too.
RECIPE ?= recipes/quickstart.yaml

.PHONY: setup quickstart test soak lint types docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not installed; install Python 3.11 or set PYTHON=" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
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

clean:
	rm -rf $(VENV) runs models build dist
