# The table of contents: `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ADDRESS ?= 127.0.0.1:8000
DRILL ?= kill --runs 5

.PHONY: help run test failover-drill check docs format clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@echo "Installing into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements-legacy.txt deploy/ha/requirements.txt $(VENV)/.installed
	@echo "Installing what tests and checks need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(VENV)/.installed ## install, migrate, load the demo the first time, serve on 127.0.0.1:8000, watch, work
	@$(BIN)/python manage.py migrate_all --verbosity 0
	@$(BIN)/python manage.py collectstatic --no-input --verbosity 0
	@$(BIN)/python manage.py load_demo --if-empty --month
	@$(BIN)/python manage.py rollup_performance --verbosity 0
	@$(BIN)/python manage.py create_admin
	@echo "The desk is at http://$(ADDRESS)/ (Ctrl-C stops it)"
	@$(BIN)/gunicorn emo_site.wsgi --config emo_site/gunicorn_conf.py --bind $(ADDRESS) --workers 2 --threads 8 --timeout 60 --no-control-socket --log-level warning & web=$$!; \
	$(BIN)/python manage.py monitor & watch=$$!; \
	$(BIN)/python manage.py worker & worker=$$!; \
	trap 'kill $$web $$watch $$worker 2>/dev/null; wait' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	wait $$web

test: $(VENV)/.installed-dev ## the suite on SQLite, PostgreSQL and TimescaleDB
	$(BIN)/python -m tests.run

failover-drill: $(VENV)/.installed-dev ## kill the database under load, count what is lost; DRILL=--all tries every fault
	$(BIN)/python -m benchmarks.failover_drill $(DRILL)

check: $(VENV)/.installed-dev ## lint, types, import contracts, migrations, production settings, templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.upgrades.zero_downtime
	.ci/check-production $(BIN)/python
	$(BIN)/python manage.py compile_templates

docs: $(VENV)/.installed-dev ## the documentation as a site, in docs/_build
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build
	@echo "docs/_build/index.html"

format: $(VENV)/.installed-dev ## put the code into the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and the caches, not the data
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
