# Every target works on a fresh machine that has Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help install demo test lint bench docs-check clean

help: ## show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# The locks pin every package, and all but torch by hash. The editable install then adds what the build of torch that was
# found wants beside it (one for CPUs: nothing).
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
$(READY): requirements.lock torch.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-deps -r torch.lock
	$(PIP) --require-hashes --no-deps -r requirements.lock
	$(PIP) -e .
	@touch $@

install: $(READY) ## the package, with all that is locked, into .venv; takes some minutes

demo: $(READY) ## train two models on the embedded corpus and translate with them (4 to 10 minutes on two cores)
	@$(BIN)/sightline demo

WORKERS ?= 2

test: $(READY) ## run every test, in two processes; WORKERS=0 is one
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(READY) ## ruff and pyright; strictly where contracts are
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/pyright --pythonpath $(BIN)/python -p pyright-strict.json

bench: $(READY) ## measure training speed against other toolkits
	@$(BIN)/python benchmarks/train.py $(ARGS)

docs-check: $(READY) ## run every command of the docs
	@$(BIN)/python -m pytest tests/test_docs.py tests/test_extending.py tests/test_typed.py $(ARGS)

clean: ## remove the virtual environment, not your runs
	rm -rf $(VENV)
