# Needs python3 (3.11 to 3.13) and make; everything else is installed into .venv.

PYTHON  ?= python3
TORCH   ?= 2.13.0
WORKERS ?= 2

VENV  := .venv
PY    := $(VENV)/bin/python
READY := $(VENV)/.ready
RUN   := outputs/quickstart
CODE   = $(wildcard src tests benchmarks train.py evaluate.py)

PIP_INSTALL := -m pip --disable-pip-version-check install -qq

.DEFAULT_GOAL := help
.PHONY: help run test check setup lint types unit docs wheel lock clean python tools

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(READY) ## set up, train the default drafter on the embedded target, evaluate it
	@$(PY) train.py name=$(notdir $(RUN)) $(if $(wildcard $(RUN)/checkpoints/last.ckpt),resume=true)
	@$(PY) evaluate.py run=$(RUN)

test: $(READY) ## set up, then run everything that `check` runs
	@$(MAKE) --no-print-directory check

check: lint types unit ## lint, types and tests, without set-up

setup: $(READY) ## install the locked versions and this package into .venv

lint: tools ## ruff: rules and format
	@echo "ruff check";  $(PY) -m ruff check -q
	@echo "ruff format"; $(PY) -m ruff format -q --check

types: tools ## mypy: strict in the package
	@echo "mypy"; $(PY) -m mypy --no-error-summary $(CODE)

unit: tools ## pytest, in WORKERS processes
	@echo "pytest"; $(PY) -m pytest -q --durations=10 -n $(WORKERS) --dist loadfile --no-loadscope-reorder

docs: tools ## build the documentation site into site/, without network
	@$(PY) -m mkdocs build -q && echo "site/index.html"

wheel: tools ## build the wheel into dist/
	@$(PY) -m hatchling build -t wheel

# The stamp comes last, so an interrupted set-up is taken up again. Torch comes first, so that
# no other package can choose another build of it.
$(READY): requirements.lock pyproject.toml
	@$(MAKE) --no-print-directory python
	@echo "Setting up $(VENV) (some minutes the first time)"
	@rm -f $@
	@$(PYTHON) -m venv $(VENV)
	@echo "  torch"
	@$(PY) $(PIP_INSTALL) "$$(grep '^torch==' requirements.lock)"
	@echo "  everything else in requirements.lock"
	@$(PY) $(PIP_INSTALL) -r requirements.lock
	@echo "  litdraft"
	@$(PY) $(PIP_INSTALL) --no-deps -e .
	@$(PY) -m pip check >/dev/null || { $(PY) -m pip check; echo "requirements.lock does not satisfy pyproject.toml: run 'make lock'." >&2; exit 1; }
	@touch $@
	@echo "  ready"

# Resolves the ranges in pyproject.toml afresh in a throwaway environment. What a build of torch
# adds for accelerators is left out: torch pins it exactly, and it differs between machines.
lock: python ## resolve pyproject.toml afresh (TORCH=x.y.z) and rewrite requirements.lock
	@echo "Resolving into .venv-lock (some minutes)"
	@rm -rf .venv-lock
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python $(PIP_INSTALL) "torch==$(TORCH)"
	@.venv-lock/bin/python $(PIP_INSTALL) -e '.[dev]' "torch==$(TORCH)"
	@{ echo "# The exact versions that the set-up installs: litdraft's dependencies and its dev extra."; \
	   echo "# Made by 'make lock' from the ranges in pyproject.toml; do not edit by hand."; \
	   .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude-editable \
	     | sed -E 's/\+[A-Za-z0-9.]+$$//' | grep -Eiv '^(nvidia-|cuda-|triton==)'; } > requirements.lock.tmp
	@! grep -nE '://|@ ' requirements.lock.tmp || { echo "requirements.lock.tmp names a place, not a version." >&2; exit 1; }
	@mv requirements.lock.tmp requirements.lock
	@rm -rf .venv-lock
	@echo "Wrote requirements.lock; now 'make test'."

clean: ## remove .venv and every cache; outputs/ stays
	@rm -rf $(VENV) .venv-lock requirements.lock.tmp build dist site .mypy_cache .pytest_cache .ruff_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@command -v "$(PYTHON)" >/dev/null || { echo "'$(PYTHON)' was not found: install Python 3.11 to 3.13, or name one with 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "'$(PYTHON)' is $$($(PYTHON) -V 2>&1), but LitDraft needs Python 3.11 to 3.13: name another with 'make PYTHON=python3.12 ...'." >&2; exit 1; }

tools:
	@test -x $(PY) || { echo "There is no $(VENV) yet: run 'make setup' first." >&2; exit 1; }
