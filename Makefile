# Needs Python 3.11 or later and make; `make help` lists the commands.
#   MINUTES what a soak or mutants may take     make soak MINUTES=600
#   ARGS    passed on to the command run        make test ARGS="-k parsing"
#   PYTHON  the interpreter the set-up uses     make test PYTHON=python3.12

PYTHON ?=
ARGS ?=
MINUTES ?= 60
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
CANDIDATES := $(if $(strip $(PYTHON)),$(PYTHON),python3.13 python3.12 python3.11 python3)
# Tried by running it: a name on the PATH may be a launcher for a version that is absent.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help setup verify test soak mutants compat lint format format-check types bench docs lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv from requirements.lock (done by the others when needed)
	@:

# The stamp is removed first and written last: a set-up that fails is not taken for one that worked.
$(STAMP): requirements.lock pyproject.toml
	@rm -f $@; \
	if ! $(PY) -c 'import pip; $(USABLE)' >/dev/null 2>&1; then \
	  chosen=; \
	  for candidate in $(CANDIDATES); do \
	    if "$$candidate" -c '$(USABLE)' >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$chosen" ]; then \
	    echo 'No usable Python: tried $(CANDIDATES).' >&2; \
	    echo 'Install Python 3.11 or later with its venv module, or name one: make PYTHON=...' >&2; \
	    exit 1; \
	  fi; \
	  echo "Setting up $(VENV) with $$chosen from requirements.lock (about a minute)."; \
	  "$$chosen" -m venv --clear $(VENV) || exit 1; \
	else \
	  echo 'Bringing $(VENV) up to date with requirements.lock (seconds if little changed).'; \
	fi; \
	$(PY) -m pip --disable-pip-version-check install -qq --require-hashes -r requirements.lock \
	  && $(PY) -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation -e . \
	  && touch $@ \
	  || { echo 'The set-up failed; see above. Run the command again to retry.' >&2; exit 1; }

verify: $(STAMP) ## check the theorem on the released experiment (scripts/verify.py)
	@$(PY) scripts/verify.py $(ARGS)

# One BLAS thread a worker: more would only get in each other's way.
test: $(STAMP) ## pass the tests, in parallel over the cores
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m pytest -n auto --dist worksteal --durations 10 $(ARGS)

soak: $(STAMP) ## draw examples of every property until MINUTES are over, and go on there the next time
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) tests/soak.py $(MINUTES)

mutants: $(STAMP) ## break the code in small ways until MINUTES are over, and see whether tests notice (.ci/mutants.py)
	@$(PY) .ci/mutants.py $(MINUTES) $(ARGS)

compat: $(STAMP) ## pass the exact tests on other interpreters, dependencies and ground types (.ci/compat.py)
	@$(PY) .ci/compat.py $(ARGS)

lint: $(STAMP) ## lint (ruff)
	@$(PY) -m ruff check $(ARGS) .

format: $(STAMP) ## format in place (ruff)
	@$(PY) -m ruff format $(ARGS) .

format-check: $(STAMP) ## say what `make format` would change
	@$(PY) -m ruff format --check $(ARGS) .

types: $(STAMP) ## check types (mypy, strict)
	@$(PY) -m mypy $(ARGS)

docs: $(STAMP) ## build the site from docs/ and the docstrings into build/site, warnings as errors (Sphinx)
	@$(PY) -m sphinx --quiet --fail-on-warning --keep-going --builder html --conf-dir docs . build/site $(ARGS)

bench: $(STAMP) ## time the main computations (scripts/bench.py)
	@$(PY) scripts/bench.py $(ARGS)

lock: ## renew requirements.lock after a change of dependencies (needs uv)
	@uv lock --quiet
	@uv export --quiet --frozen --no-emit-project --all-groups --all-extras --no-header \
	  --output-file requirements.lock >/dev/null

clean: ## remove .venv and everything the tools made
	@rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	@find deqverify numerics scripts tests theory -name __pycache__ -type d -prune -exec rm -rf {} +
