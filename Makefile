# CrashDesk's commands. `make demo` and `make test` install what they need by themselves.

PYTHON ?= python3
VENV := .venv
LS_VENV := .venv-labelstudio
RUN := $(VENV)/bin/python
PORT ?= 8000
DEMO_HOME ?= var/demo

export PYTHONUNBUFFERED = 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast test-services check fix schema lock bench bench-engine bench-ingest bench-sync tiny-model clean-demo clean

help:
	@echo "make demo [PORT=8000]  start everything, walk the loop on a demo corpus, keep serving"
	@echo "make test              every test"
	@echo "make check             lint, types, import directions, migrations, API schema (changes nothing)"
	@echo "make fix               format, lint fixes, API schema"
	@echo "make bench             measurements of the engine, see docs/benchmarks.md"
	@echo "make bench-engine      the engine's ways to six answers beside the plain one [BENCH='--rounds 1']"
	@echo "make bench-ingest      measurements of imports and lists beside Label Studio [BENCH=--quick]"
	@echo "make bench-sync        push and pull beside a real Label Studio [BENCH='--cases 1000 --rounds 1']"
	@echo "make tiny-model        train the tiny model that ships, from its seed (hours on two cores; goes on where it was)"
	@echo "make clean-demo        remove the demo's data"

# --- installing -------------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
	  { echo "CrashDesk needs Python 3.11 or 3.12; name it with PYTHON=…, e.g. make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "== installing CrashDesk and its model runtime into $(VENV)"
	$(RUN) -m pip install --disable-pip-version-check -c constraints.txt -e ".[cpu]"
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "== installing the developer tools into $(VENV)"
	$(RUN) -m pip install --disable-pip-version-check -c constraints.txt -e ".[cpu,dev]"
	@touch $@

$(LS_VENV)/.installed: constraints-labelstudio.txt | $(VENV)/bin/python
	@echo "== installing Label Studio into its own $(LS_VENV) (it pins Django)"
	@test -x $(LS_VENV)/bin/python || $(PYTHON) -m venv $(LS_VENV)
	$(LS_VENV)/bin/python -m pip install --disable-pip-version-check -c constraints-labelstudio.txt label-studio gunicorn
	@touch $@

install: $(VENV)/.runtime $(LS_VENV)/.installed

# --- running ----------------------------------------------------------------------------------------------

# The demo's model is so small that one thread answers faster than two that wait for each other.
demo: install
	@OMP_NUM_THREADS=1 CRASHDESK_HOME=$(abspath $(DEMO_HOME)) CRASHDESK_PORT=$(PORT) $(RUN) manage.py up --then "manage.py demo"

clean-demo:
	@CRASHDESK_HOME=$(abspath $(DEMO_HOME)) sh -c 'if [ -f "$$CRASHDESK_HOME/run.json" ]; then \
	  echo "the demo still runs: stop it with Ctrl-C first"; exit 1; fi'
	rm -rf $(DEMO_HOME)

# --- checking ---------------------------------------------------------------------------------------------

test: $(VENV)/.dev $(LS_VENV)/.installed test-fast test-services

test-fast: $(VENV)/.dev
	$(RUN) -m pytest -n 2 --dist loadfile -m "not (services or e2e or browser)"

test-services: $(VENV)/.dev $(LS_VENV)/.installed
	$(RUN) -m pytest -m "services or e2e or browser"

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy
	$(RUN) -m tests.checks

fix: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(RUN) manage.py spectacular --file docs/openapi.yaml --validate
	$(RUN) manage.py workflow_diagram --write docs/workflow.md

lock: $(VENV)/.dev $(LS_VENV)/.installed
	$(RUN) -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
	$(LS_VENV)/bin/python -m pip freeze > constraints-labelstudio.txt

bench: $(VENV)/.dev
	$(RUN) -m benchmarks

bench-engine: $(VENV)/.dev
	$(RUN) -m benchmarks engine $(BENCH)

bench-ingest: $(VENV)/.dev $(LS_VENV)/.installed
	$(RUN) -m benchmarks ingest $(BENCH)

bench-sync: $(VENV)/.dev $(LS_VENV)/.installed
	$(RUN) -m benchmarks.sync $(BENCH)

tiny-model: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(RUN) -m model_assist.training.make_tiny $(TINY)

clean: clean-demo
	rm -rf $(VENV) $(LS_VENV)
