# The daily commands. `make` lists them.
.PHONY: help demo test check lint format types benchmark benchmark-pipeline clean

DATA ?= ../shared/data/tabular/paper10

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo:  ## Install, then run the main job on the iris table
	scripts/demo.sh

test:  ## Install what tests need, run them all (ARGS="-k readme -x")
	scripts/test.sh $(ARGS)

check:  ## Tests and linters, as CI runs them
	.ci/run

lint:  ## ruff, without changing anything
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format:  ## ruff: mend what can be mended, format
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

types:  ## mypy
	.venv/bin/mypy
	.venv/bin/mypy scripts

benchmark:  ## Quality on the ten tables of the paper (long; goes on where it stopped)
	GOMP_SPINCOUNT=10000 .venv/bin/python scripts/benchmark_tabular.py --data $(DATA) --splits 5 \
		--out docs/results/paper10.csv --report docs/benchmarks.md

benchmark-pipeline:  ## Wall-clock and memory of the whole way
	.venv/bin/python scripts/benchmark_pipeline.py --data $(DATA) \
		--out docs/results/pipeline.json --report docs/benchmarks.md

clean:  ## Remove caches and build leftovers, not .venv
	rm -rf build dist out .mypy_cache .ruff_cache .pytest_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
