# Thin names over scripts/, so that people and CI run the same thing.
# Choose an interpreter with PYTHON (make test PYTHON=python3.12); hand options to pytest with ARGS (make test ARGS="-k timeline").
PYTHON ?=
ARGS ?=
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs browser clean

help:     ## list the targets
	@sed -n 's/^\([a-z]*\): *## /  make \1\t/p' Makefile

demo:     ## install into .venv-demo, fetch a real clip, recognise the actions in it
	@sh scripts/demo.sh

test:     ## install into .venv-test and run the default tests
	@sh scripts/test.sh $(ARGS)

check:    ## format, lint, types and import contracts
	@sh scripts/check.sh

bench:    ## run the benchmarks beside their peers; writes JSON under benchmarks/reports
	@sh scripts/bench.sh $(ARGS)

docs:     ## build the documentation into site/
	@sh scripts/docs.sh

browser:  ## look at the report in a headless Chromium
	@sh scripts/browser.sh $(ARGS)

clean:    ## remove the environments and what the other targets made
	@rm -rf .venv-demo .venv-test .venv-bench out site dist build .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
