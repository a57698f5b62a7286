# Each target sets up what it needs, in this folder only: no root, no Docker, no account.
# PYTHON=… picks the interpreter, ARGS=… goes to the command.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PYTHON_FOLDERS := $(wildcard toolkit functions tools tests)
MIGRATIONS := $(wildcard supabase/migrations/*.sql)

# The Supabase CLI must not wait on the network for news and statistics.
export SUPABASE_TELEMETRY_DISABLED := 1
export SUPABASE_NO_UPDATE_NOTIFIER := 1
export DO_NOT_TRACK := 1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: venv node ## migrate a generated dual-write database, and prove the result row for row
	$(BIN)/meterledger demo $(ARGS)

.PHONY: test
test: venv node ## run the tests on PostgreSQL 17 and 15 (ARGS="-k name" for some of them)
	$(BIN)/pytest -n 2 --dist worksteal tests $(ARGS)

.PHONY: test-operations
test-operations: venv node ## the slow tests: whole rollouts on real servers, kills, restores, circles
	$(BIN)/pytest -n 2 --dist worksteal -m slow tests $(ARGS)

.PHONY: test-lambda
test-lambda: venv node ## the handlers on AWS's own Lambda emulator, against PostgREST and Postgres
	$(BIN)/python -m tools.fetch_lambda_emulator
	$(BIN)/pytest -q -m slow tests/functions/test_lambda.py $(ARGS)

.PHONY: test-cron
test-cron: venv node ## the optional pg_cron schedule, on the system's PostgreSQL 15 with pg_cron
	$(BIN)/pytest -q -m slow tests/functions/test_cron.py $(ARGS)

.PHONY: test-containers
test-containers: venv node ## the tests on a PostgreSQL in a container (METERLEDGER_TEST_IMAGE=postgres:15 for another)
	tools/test_in_containers.sh $(ARGS)

.PHONY: test-supabase
test-supabase: venv node ## roll out on Supabase's own stack, and prove it there; this one wants Docker
	tools/supabase_stack.sh

CHECKS := check-ruff check-format check-types check-imports check-sql check-migrations \
	check-recipes check-workflows check-files

.PHONY: check $(CHECKS)
check: $(CHECKS) ## lint, format, types, import layers, SQL, migrations, recipes, workflows, stray paths

check-ruff: venv
	$(BIN)/ruff check

check-format: venv
	$(BIN)/ruff format --check

check-types: venv
	$(BIN)/mypy $(PYTHON_FOLDERS)

check-imports: venv
	$(BIN)/lint-imports --no-logo

check-sql: venv
	$(BIN)/sqlfluff lint --processes 2 supabase toolkit

check-migrations: venv
	$(if $(MIGRATIONS),$(BIN)/squawk $(MIGRATIONS),@echo "no migrations to check")

check-recipes: venv
	$(BIN)/cfn-lint functions/deploy/aws/template.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows functions/deploy/github/scheduled.yml
	$(BIN)/zizmor --offline --quiet --config .github/zizmor.yml functions/deploy/github/scheduled.yml

check-workflows: venv
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(BIN)/zizmor --quiet --offline --pedantic .github

check-files: venv
	$(BIN)/python tools/check_committed.py

.PHONY: bench
bench: venv node ## measure everything, as ratios, into docs/bench: most of an hour; alone on the machine
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements/bench.txt
	$(BIN)/python -m tools.bench $(ARGS)

.PHONY: mutation
mutation: venv node ## weaken a database in every way there is: the isolation proof must find each
	$(BIN)/meterledger mutation $(ARGS)

.PHONY: schema
schema: venv node ## write tests/migrations/schema.sql anew, after a migration changed
	$(BIN)/python -m tools.dump_schema

.PHONY: types
types: venv node ## write supabase/types anew (TypeScript and Python), after a migration changed
	$(BIN)/python -m tools.generate_types

.PHONY: reference
reference: venv node ## write docs/reference anew, after a command or a migration changed
	$(BIN)/python -m tools.write_reference

.PHONY: lock
lock: venv ## recompile the pinned requirements and package-lock.json (ARGS=--upgrade for newer)
	tools/lock.sh $(ARGS)

# What the workflows of .github do beside meterledger's own commands: docs/ci.md.
.PHONY: show-plan staging-receipt keep-backup
show-plan: venv ## show PLAN=file to people: here, in CI as summary and comment
	@$(BIN)/python -m tools.github plan "$(PLAN)"

staging-receipt: venv ## in CI: fetch staging's receipt of this commit into build/receipt
	@$(BIN)/python -m tools.github receipt

keep-backup: ## copy the newest backup of ENV=name to BACKUP_STORE
	@tools/keep_backup.sh "$(ENV)"

.PHONY: clean
clean: ## stop the local server; remove .venv, node_modules, local databases, caches, builds
	@# A server that cannot be stopped ends by itself once its data folder is gone.
	if [ -d .meterledger ] && [ -x $(BIN)/meterledger ]; then $(BIN)/meterledger local stop || :; fi
	rm -rf .meterledger .venv node_modules build dist supabase/.temp supabase/.branches
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Not stamps but scripts that compare contents, so that a moved checkout, a git switch or an
# interrupted set-up is noticed. They take a moment when there is nothing to do.
.PHONY: venv node
venv:
	@PYTHON="$(PYTHON)" tools/setup_venv.sh

node: venv
	@tools/setup_node.sh
