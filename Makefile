# `make verify` checks every gradient, `make test` runs the tests, `make lint` the linters. Each makes .venv first if it
# is not there.
PYTHON ?= python3

.PHONY: verify test lint

verify: .venv/installed
	.venv/bin/python compare.py

test: .venv/installed
	.venv/bin/python -m pytest -q -n auto --dist worksteal

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.txt
	touch $@
