# `make` alone lists the targets. DEVICE=cpu|cuda overrules what nvidia-smi says.
BIN := .venv/bin
INSTALL := sh requirements/install.sh $(if $(DEVICE),--device $(DEVICE))
DOCKER ?= docker

.DEFAULT_GOAL := help
.PHONY: help install serve test faults bench check format lock clean docker-cpu docker-cuda

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Fathom and its pinned packages into .venv (DEVICE=cpu|cuda)
	@$(INSTALL)
	@echo 'Fathom is installed in .venv. Next: make serve'

serve: ## install, then serve a model (ARGS="--port 8123")
	@$(INSTALL)
	@exec $(BIN)/fathom serve $(ARGS)

test: ## every test (ARGS="-k reasoning")
	@$(INSTALL) --tests
	@exec $(BIN)/python -m pytest tests $(ARGS)

faults: ## break a real server in every known way, about 20 minutes (ARGS="--kills 30")
	@$(INSTALL) --tests
	@exec $(BIN)/python -m pytest tests/faults tests/engine/test_starts.py --kills 20 $(ARGS)

bench: ## against vLLM's own server, about half an hour (ARGS="--rounds 1 --only fathom --only vllm")
	@$(INSTALL) --tests
	@exec $(BIN)/python -m tests.bench.compare $(ARGS)

check: ## format, lint, types, layers and unit tests
	@$(INSTALL) --tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict server/fathom
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit -m "not slow"

format: ## rewrite the source in its format
	@$(INSTALL) --tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## pin requirements/*.txt anew from pyproject.toml (UPGRADE=1 for the newest)
	@UPGRADE=$(UPGRADE) sh requirements/lock.sh

clean: ## remove .venv and caches; models in ~/.fathom stay
	rm -rf .venv dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find server tests requirements -name __pycache__ -prune -exec rm -rf {} +

docker-cpu: ## the image fathom:cpu (DOCKER=podman)
	$(DOCKER) build --target cpu --tag fathom:cpu .

docker-cuda: ## the image fathom:cuda
	$(DOCKER) build --target cuda --tag fathom:cuda .
