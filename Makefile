# make demo   the founding question on real digits
# make test   lint, types, import contracts, the whole test suite
# Both make what they need first: a virtual environment with the pinned versions.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# A virtual environment in the checkout; nothing outside it is changed.

.PHONY: demo test lint reports clean

demo: $(INSTALLED)
	$(BIN)/python -m parity.demo

test: lint
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Write the committed reports of the case book again.
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
