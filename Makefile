# The two commands of a fresh machine are `make demo` and `make test`; `make help` lists the rest.
# Needs Python ≥ 3.11 and make; another Python: `make test PYTHON=python3.12`.

PYTHON ?= python3
WORKERS ?= auto
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test quick check lint types imports docs format install constraints dist clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(INSTALLED) ## search for one minute on scikit-learn's breast cancer data
	rm -rf studies/demo
	$(BIN)/autotrain search sklearn:breast_cancer --study demo --timeout 60 --trials 40

test: $(INSTALLED) ## run the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile

quick: $(INSTALLED) ## run the fast, central tests of tests/quick.txt in seconds
	$(BIN)/python -m pytest -q @tests/quick.txt

check: lint types imports docs ## lint, types, import contracts and the documentation

lint: $(INSTALLED) ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED) ## mypy over package, tests and benchmarks
	$(BIN)/mypy autotrain tests $(wildcard benchmarks)

imports: $(INSTALLED) ## import contracts of pyproject.toml
	$(BIN)/lint-imports --no-logo

docs: $(INSTALLED) ## build the documentation into build/docs; a warning is an error
	$(BIN)/sphinx-build -b html -W --keep-going -q -d build/doctrees docs build/docs

format: $(INSTALLED) ## rewrite the code in ruff's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

install: $(INSTALLED) ## make .venv with the pinned dependencies

# Runs again when what is to be installed has changed. An incomplete .venv is made again.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "autotrain needs Python 3.11 or newer, got $(PYTHON):" \
			"$$($(PYTHON) --version 2>/dev/null || echo not installed)." >&2; \
		echo "Choose another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV); the first time takes a few minutes."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev,docs,onnx,servers,ray]'
	@touch $@

constraints: $(INSTALLED) ## write down what is installed in .venv as the pinned versions
	@{ grep '^#' constraints.txt; \
		$(BIN)/python -m pip freeze --all --exclude-editable \
		| grep -vE '^(pip|wheel)=| @ ' | sed -E 's/\+[a-z0-9.]+$$//' | LC_ALL=C sort -f; \
	} > constraints.new && mv constraints.new constraints.txt && touch $(INSTALLED)

dist: $(INSTALLED) ## build the wheel and the source archive into dist/
	$(BIN)/hatchling build

clean: ## remove caches and what was built, not .venv and studies
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
