# `make` lists what there is. Everything runs in .venv, made on first use; nothing but make and Python >= 3.11 must be there.
PYTHON := .venv/bin/python
RUN := $(PYTHON) tests/tools/run.py
NODE := $(PYTHON) -m ansible_collections.progressive.delivery.tests.cluster.node

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-kubernetes test test-unit lint sanity docs bench bench-analysis cluster cluster-down lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

venv:  ## make or refresh .venv
	@sh tests/tools/venv.sh

demo: venv  ## real releases on a real load balancer, on this machine, in about a minute
	@$(PYTHON) examples/demo/run.py $(ARGS)

demo-kubernetes: venv  ## the same on a real Kubernetes node, in about two minutes (root; see tests/cluster)
	@$(PYTHON) examples/demo-kubernetes/run.py $(ARGS)

test: venv  ## every test and check (one of them: make test ARGS=sanity)
	@$(RUN) $(ARGS)

test-unit: venv  ## the unit tests alone
	@$(RUN) unit

lint: venv  ## ruff, mypy, ansible-lint, changelog, licences
	@$(RUN) ruff mypy ansible-lint changelog licences

sanity: venv  ## ansible-test sanity
	@$(RUN) sanity

docs: venv  ## the documentation site, in build/docs
	@$(RUN) site

bench: venv  ## how fast it is, beside its peers
	@$(PYTHON) tests/bench/run.py $(ARGS)

bench-analysis: venv  ## how often the judges are wrong, how fast they are right
	@$(PYTHON) tests/bench/analysis.py $(ARGS)

cluster: venv  ## a Kubernetes node on this machine, for the tests and for you (root; see tests/cluster)
	@$(NODE) up

cluster-down: venv  ## end it and remove all that is left of it
	@$(NODE) down

rbac: venv  ## write examples/rbac from the table of rights
	@$(PYTHON) tests/tools/rbac.py

lock: venv  ## resolve tests/requirements.in into tests/requirements.txt
	@.venv/bin/uv pip compile --universal --python-version 3.11 --no-annotate --no-header --upgrade tests/requirements.in -o tests/requirements.txt

clean:  ## remove what the other targets made
	@rm -rf .venv .cache build reports tests/output
