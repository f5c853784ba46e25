# make run    start the dashboard            make test   everything that must hold
# make test-zoo   the slow part: every classifier of torchvision, and timm's families (16 GB)
# make lint   ruff and mypy alone            make lock   resolve requirements*.txt again (UPGRADE=yes: the newest)
# make clean  forget the environment and the caches
# make bench  side by side with peers        make methods  every method on the digits demo (15 minutes)
# make demo-assets   train the demo networks again (CIFAR=folder with cifar10_train.zip and cifar10_test.zip adds those)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-zoo lint lock bench methods demo-assets clean

VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new enough; or say which: make run PYTHON=/opt/python3.12/bin/python3
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# For example: make run PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
# no: install what the lists say without the lock, that is without checking hashes
LOCK ?= yes
# Any other wants PRUNESCOPE_PASSWORD: docs/trust.md
ADDRESS ?= localhost
PORT ?=
# A network of your own code: make run MODEL=package.module:factory
MODEL ?=

# What is installed is remembered by the content of the lists, so that a second start installs nothing.
RUN_READY := $(VENV)/.run-$(shell cat requirements.txt requirements.lock | cksum | tr ' ' '-')
TEST_READY := $(VENV)/.test-$(shell cat requirements*.txt requirements*.lock | cksum | tr ' ' '-')
# With uv, which pip puts there first, or with pip alone; every file checked against the lock.
INSTALL := $(BIN)/python -m tools.packages install $(if $(filter no,$(LOCK)),--no-lock)

help:
	@sed -n '1,6s/^# //p' Makefile

run: $(RUN_READY)
	@exec $(BIN)/python -m streamlit run app.py --server.address=$(ADDRESS) $(if $(PORT),--server.port=$(PORT)) $(if $(MODEL),-- --model $(MODEL))

test: lint
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# What a plain pytest leaves out, because it takes minutes and memory.
test-zoo: $(TEST_READY)
	@$(BIN)/python -m pytest -m slow

# Pages stand in folders that are no packages, so that Streamlit does not take them for its old style of pages.
lint: $(TEST_READY)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy --explicit-package-bases app.py pages tools

lock: | $(VENV)/bin/python
	@$(BIN)/python -m tools.packages lock $(if $(filter yes,$(UPGRADE)),--upgrade)

demo-assets: $(RUN_READY)
	@for name in digits_resnet digits_vgg; do $(BIN)/python -m tools.train_demo $$name; done
	@if [ -n "$(CIFAR)" ]; then for name in cifar_resnet20 cifar_resnet56; do \
		$(BIN)/python -m tools.train_demo $$name --data "$(CIFAR)"; done; fi

# Side by side with what peers do, in one run; ratios, because machines differ. Takes minutes.
bench: $(TEST_READY)
	@for table in benchmarks/bench_*.py; do $(BIN)/python -m benchmarks.$$(basename $$table .py); done

# Every method on the digits demo, one after the other.
methods: $(TEST_READY)
	@$(BIN)/python -m benchmarks.methods

$(RUN_READY): | $(VENV)/bin/python
	@echo "Installing what the dashboard needs (once; torch is large) ..."
	@$(INSTALL) requirements.txt $(PIP_ARGS)
	@rm -f $(VENV)/.run-*; touch $@

$(TEST_READY): | $(VENV)/bin/python
	@echo "Installing what the tests need (once; torch is large) ..."
	@$(INSTALL) requirements-dev.txt $(PIP_ARGS)
	@rm -f $(VENV)/.run-* $(VENV)/.test-*; touch $@ $(RUN_READY)

# Debian ships python3 without the part that makes environments; with the rights to, install it.
$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "PruneScope needs Python 3.11 or newer, and none was found. Install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		root=""; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
		command -v apt-get >/dev/null && { $$root apt-get update -qq && $$root apt-get install -y -qq python3-venv; } >/dev/null 2>&1; } || { \
		echo "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt-get install python3-venv, then try again." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
