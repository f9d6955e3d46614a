# Everything works on a bare machine with Python 3.11 or newer: the first call makes .venv.
# PYTHON=python3.12 make test chooses which Python; OUT=folder make demo chooses where it writes.

PYTHON ?= python3
OUT ?= build/demo
RESULTS ?= results
BIN := .venv/bin
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
SOURCES := setup.sh pyproject.toml constraints.txt

.PHONY: help demo test check audit bench docs site clean

help:
	@echo "make demo    train, compare, add a language and search; writes $(OUT)/index.html"
	@echo "make test    all tests"
	@echo "make check   lint, format, types"
	@echo "make audit   look the installed packages up among known vulnerabilities (needs PyPI)"
	@echo "make bench   time the evaluation against plain loops"
	@echo "make docs    check the links of all Markdown pages"
	@echo "make site    pages of the documentation and of $(RESULTS), in site/index.html"
	@echo "make clean   remove build/ (.venv stays)"

demo: .venv/.demo
	$(ONE_THREAD) $(BIN)/commonspace demo --out $(OUT)

test: .venv/.dev
	$(ONE_THREAD) $(BIN)/python -m pytest -q

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Strict: a package that the service does not know, or no service, is a failure and not a pass.
audit: .venv/.dev
	@mkdir -p build
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > build/audit.txt
	@$(BIN)/pip-audit --strict --no-deps --disable-pip -r build/audit.txt || { \
	  echo "make audit: a package is vulnerable, or was not looked up (https://pypi.org/pypi)"; \
	  exit 1; }

bench: .venv/.demo
	$(ONE_THREAD) $(BIN)/commonspace bench evaluate

docs: .venv/.dev
	$(BIN)/python -m pytest -q tests/integration/test_links.py

# Results: commonspace reproduce all --out $(RESULTS)
site: .venv/.dev
	$(BIN)/commonspace reproduce site --out $(RESULTS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf build

# A stamp says which extras are there; it is old once what they consist of has changed.
.venv/.%: $(SOURCES) | .venv/bin/python
	UV_COMPILE_BYTECODE=1 ./setup.sh $*
	@touch $@ $(if $(filter dev,$*),.venv/.demo) # dev holds demo

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "commonspace needs Python 3.11 or newer, and $(PYTHON) is not: PYTHON=python3.12 make ..."; \
	  exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || { \
	  echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv"; \
	  exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
