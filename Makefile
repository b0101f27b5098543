# What people type. Everything is installed into .venv; PYTHON chooses with which Python.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: help demo test mutants bench lint format clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

.venv/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test,lint]'
	@touch $@

.venv/.installed-demo: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[example]'
	@touch $@

demo: .venv/.installed-demo  ## Run the example site and its stand-in for Microsoft
	$(BIN)/python manage.py demo

test: .venv/.installed  ## Run every test that this machine can run
	$(BIN)/python -m tests

mutants: .venv/.installed  ## Change the code in hundreds of places, each of which tests must notice
	$(BIN)/python -m tests.mutants

bench: .venv/.installed  ## Measure against Django, msal and a sequential loop
	$(BIN)/python -m tests.services $(BIN)/python -m benchmarks.run

lint: .venv/.installed  ## Check style, types and templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djade --target-version 5.2 --check $$(git ls-files '*.html')
	$(BIN)/mypy

format: .venv/.installed  ## Put sources and templates in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	-$(BIN)/djade --target-version 5.2 $$(git ls-files '*.html')

clean:  ## Remove what the other commands have made
	rm -rf .venv .nox build dist htmlcov .coverage* .mypy_cache .pytest_cache .ruff_cache var
