# Everything a developer or CI does with this repository. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The tests start our command hundreds of times: with this set, each start would compile the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-clean test test-long test-servers unit lint bench bench-gitops bench-scan bench-load bench-verdicts format requirements schema docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) tests/support/virtual_environment.py $(VENV)
	@touch $@

demo: $(VENV)/installed ## Set up real parts on this machine and deliver examples/digits
	@$(BIN)/python -m tests.support.demo

demo-clean: ## Remove everything that `make demo` started or made
	@test ! -x $(BIN)/python || $(BIN)/python -m tests.support.demo clean

test: $(VENV)/installed ## Set up the same parts and run every test but those of `make test-long` and `make test-servers`
	@$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder -m "not servers and not long"

test-long: $(VENV)/installed ## Run the tests that take minutes each: CI runners, engines elsewhere, planted slowdowns
	@$(BIN)/python -m pytest -m long

test-servers: $(VENV)/installed ## Build five model servers and measure each of them (several minutes)
	@$(BIN)/python -m pytest -m servers

unit: $(VENV)/installed ## Run the tests that need no container engine
	@$(BIN)/python -m pytest tests/unit tests/test_layers.py

lint: $(VENV)/installed ## Check style, formatting, types and workflows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy .github/scripts
	@$(BIN)/zizmor --offline --quiet --no-progress action.yml .github examples/github
	@$(BIN)/actionlint -shellcheck= -pyflakes=

SIZES ?= 256M
BENCH ?=
bench: $(VENV)/installed ## Measure deliveries beside other tools, in minutes (SIZES=256M,1G,4G: three quarters of an hour)
	@$(BIN)/python benchmarks/delivery.py --sizes $(SIZES) $(BENCH)

bench-gitops: $(VENV)/installed ## Measure a change of a large GitOps repository beside clones, and 32 writers at once under the order rule
	@$(BIN)/python benchmarks/gitops.py $(BENCH)

bench-scan: $(VENV)/installed ## Measure the scan with and without weights, beside plain Trivy
	@$(BIN)/python benchmarks/scan.py $(BENCH)

bench-load: $(VENV)/installed ## Compare the load engine with wrk, MLPerf LoadGen and perf_analyzer (a quarter of an hour)
	@$(BIN)/python benchmarks/load.py $(BENCH)

bench-verdicts: $(VENV)/installed ## Simulate how often a verdict on a regression is wrong, from recorded rounds
	@$(BIN)/python benchmarks/verdicts.py $(BENCH)

format: $(VENV)/installed ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

schema: $(VENV)/installed ## Write the JSON schema that editors read
	@$(BIN)/pipeline schema > docs/pipeline.schema.json

docs: $(VENV)/installed ## Write the page about the policies from their code
	@$(BIN)/pipeline policy explain --all > docs/policies.md

requirements: ## Pin the dependencies again (needs uv on the PATH)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make requirements' --extra trivy --extra hadolint --output-file requirements.txt pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make requirements' --extra trivy --extra hadolint --group dev --output-file requirements-dev.txt pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make requirements' --all-extras --group build --output-file requirements-all.txt pyproject.toml

clean: demo-clean ## Remove the virtual environment and caches too
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
