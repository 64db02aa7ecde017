# make demo     the founding question on real digits
# make test     lint, types, import contracts, the whole test suite
# make reports  run the case book again and write its committed reports
#
# Each makes what it needs first: a virtual environment in the checkout with the pinned versions; nothing outside it is
# changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2# processes that the tests are spread over; each starts TensorFlow once. 0 is none but this one

.PHONY: demo test lint reports clean

demo: $(INSTALLED)
	$(BIN)/python -m parity.casebook --show --out parity-report reports/l2-digits

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reports: $(INSTALLED)
	$(BIN)/python -m parity.casebook $(wildcard reports/*)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); ok or sys.exit(f"Python 3.11 to 3.13 is needed, $(PYTHON) is {sys.version.split()[0]}; name another one: make PYTHON=python3.13")'
	@echo "Installing into $(VENV); TensorFlow takes about a minute."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[keras,dev]'
	@touch $@
