# Each target does its own set-up: `make run` on a fresh machine is enough.
.DEFAULT_GOAL := help
.PHONY: help setup run test lint docs bench matrix readers fuzz clean

# Further arguments for the program a target starts, for example: make test ARGS='-k doctor'
ARGS ?=
NOTEBOOK ?= notebooks/01-first-trace.ipynb

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the tests and the notebooks need, start nothing
	@scripts/setup --test

run: ## open JupyterLab on the first notebook (ARGS= goes to jupyter lab)
	@scripts/setup
	@exec .venv/bin/python scripts/run $(NOTEBOOK) $(ARGS)

test: ## lint, types, import contracts, then every test (ARGS= goes to pytest)
	@scripts/setup --test
	@scripts/test $(ARGS)

lint: ## lint, types and import contracts alone
	@scripts/setup --test
	@scripts/lint

# The theme's warning of mkdocs 2, which pyproject.toml keeps out, is switched off.
docs: ## build the documentation into site/ (ARGS=serve shows it at http://127.0.0.1:8000 instead)
	@scripts/setup --docs
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs $(or $(ARGS),build)

bench: ## measure against the numbers to reach (ARGS= goes to pytest)
	@scripts/setup --bench
	@exec .venv/bin/pytest -m bench -s --timeout=1800 $(ARGS)

matrix: ## other kernels, straces, releases of Debian, arm64, readers (ARGS= goes to tests.matrix, as in ARGS='--cell 6.1')
	@scripts/setup --matrix
	@[ -n "$(ARGS)" ] || { .venv/bin/python -m tests.matrix.straces && $(MAKE) --no-print-directory readers; }
	@exec .venv/bin/python -m tests.matrix $(ARGS)

fuzz: ## hostile input of every kind, seeded (ARGS= goes to tests.fuzz, as in ARGS='--seconds 600')
	@scripts/setup --test
	@exec .venv/bin/python -m tests.fuzz $(ARGS)

readers: ## other readers of Parquet, old ones too, over our recordings (ARGS= goes to tests.readers, as in ARGS=--write)
	@scripts/setup --readers
	@exec .venv/bin/python -m tests.readers $(ARGS)

clean: ## remove the virtual environment and every cache
	@rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis tests/js/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
