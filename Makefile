# Python 3.11 or newer and make are all that a machine needs; the rest goes into .venv.
.DEFAULT_GOAL := help
.PHONY: help run test check messages bench doctor clean
SHELL := /bin/sh

BIN := .venv/bin
# A stamp is named after what was installed: the second time nothing is done, after a change everything that is new.
RUN_STAMP := .venv/run-$(shell cksum requirements.txt | cut -d' ' -f1)
TEST_STAMP := .venv/test-$(shell cat requirements.txt tests/requirements.txt | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The checks need secrets to be set, and no one's real ones; what they write they write below .venv.
THROW_AWAY := SECRET_KEY=throw-away ENCRYPTION_KEYS=throw-away KEY_PEPPER=throw-away \
	SMARTROUTER_DATA=.venv/check DATABASE_URL=sqlite://:memory: REDIS_URL=

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUN_STAMP) ## Set everything up and serve, until Ctrl-C
	@exec $(BIN)/python manage.py serve

test: $(TEST_STAMP) ## Set everything up and run the tests: on SQLite, then on PostgreSQL and Redis
	@failed=0; for stores in embedded server; do \
	  STORES=$$stores $(BIN)/python -m pytest -n 2 --dist loadfile || failed=1; \
	done; exit $$failed

check: $(TEST_STAMP) ## Lint, types, layers of imports, migrations, Django's checks, translations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@mkdir -p .venv/check
	$(THROW_AWAY) $(BIN)/python manage.py makemigrations --check --dry-run
	$(THROW_AWAY) $(BIN)/python manage.py check
	$(THROW_AWAY) $(BIN)/python manage.py messages --check

bench: $(TEST_STAMP) ## Measure what a request costs, beside a plain proxy; ARGS=--quick, --help ...
	@exec $(BIN)/python -m tests.bench $(ARGS)

messages: $(TEST_STAMP) ## Bring the catalogue of translations up to date and compile it
	@mkdir -p .venv/check
	@$(THROW_AWAY) $(BIN)/python manage.py messages

doctor: $(RUN_STAMP) ## Look at settings, database, spool, clock and channels, and say what to do
	@exec $(BIN)/python manage.py doctor

clean: ## Remove the environment and all caches; data/ stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_STAMP): | .venv/pyvenv.cfg
	@echo "Installing what requirements.txt lists; the first time takes a minute."
	@$(PIP) -r requirements.txt
	@rm -f .venv/run-*
	@touch $@

$(TEST_STAMP): | .venv/pyvenv.cfg
	@echo "Installing what requirements.txt and tests/requirements.txt list; the first time takes a minute."
	@$(PIP) -r requirements.txt -r tests/requirements.txt
	@rm -f .venv/test-*
	@touch $@

.venv/pyvenv.cfg:
	@for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    $$python -m venv .venv && exit 0; \
	    rm -rf .venv; \
	    echo "Python is there, but cannot make an environment; install its venv package (python3-venv)." >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "SmartRouter needs Python 3.11 or newer, and none was found; install it and try again." >&2; \
	exit 1
