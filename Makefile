# Every target sets up what it needs from a bare python3 (3.11 or newer) and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.ready-demo
TESTS := tests

.PHONY: demo test test-s3 check pytest bench bench-full guard format clean

demo: $(DEMO_READY)
	$(BIN)/python examples/flights/demo.py

test: check pytest

pytest: $(READY)
	$(BIN)/python -m pytest -n auto -q $(TESTS)

# The tests of S3 against a real server: Ceph's, from Debian's packages.
test-s3: $(READY)
	tests/ceph.sh $(BIN)/python -m pytest -q -k "s3 or Bucket or S3" tests/iomanagers tests/contracts/test_io_managers.py tests/flow/test_s3.py

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

# Minutes, and most of an hour: the report is .bench/report.html. The second writes the figures of README and docs.
bench: $(READY)
	$(BIN)/python -m benchmarks

bench-full: $(READY)
	$(BIN)/python -m benchmarks --full --publish

guard: $(READY)
	$(BIN)/python -m benchmarks.guard

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-* .bench .memo .memo-demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "memo needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(DEMO_READY): pyproject.toml | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python -e . --group demo
	touch $@

$(READY): pyproject.toml | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python -e '.[yaml]' --group dev
	touch $@ $(DEMO_READY)
