# The daily commands. `make` lists them.
.PHONY: help demo test check lint format types docs docs-serve benchmark benchmark-text benchmark-image benchmark-pipeline clean

DATA ?= ../shared/data/tabular/paper10
TRAIN ?= ../shared/data/tabular/train

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
	.venv/bin/mypy --num-workers 2 modelgpt_cli scripts

docs:  ## Build the documentation into out/site; a broken link is an error (needs .[docs])
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict -f docs/site/mkdocs.yml

docs-serve:  ## Show the documentation on http://127.0.0.1:8000 while it is written
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs serve -f docs/site/mkdocs.yml

benchmark:  ## Quality on tables, ours and others' (hours; goes on where it stopped; needs .[benchmark])
	.venv/bin/python -m scripts.benchmarks tables $(TRAIN) --split meta-validation --out docs/results/tabular-metavalidation.csv
	.venv/bin/python -m scripts.benchmarks tables $(DATA) --out docs/results/tabular-paper10.csv
	.venv/bin/python -m scripts.benchmarks figures docs/results/tabular-metavalidation.csv --out docs/figures
	.venv/bin/python -m scripts.benchmarks figures docs/results/tabular-paper10.csv --out docs/figures
	.venv/bin/python -m scripts.benchmarks summary tables docs/results/tabular-metavalidation.csv
	.venv/bin/python -m scripts.benchmarks summary tables docs/results/tabular-paper10.csv

benchmark-text:  ## Quality on texts, ours and others' (many hours; goes on where it stopped; needs .[benchmark])
	.venv/bin/python -m scripts.benchmarks texts glue
	.venv/bin/python -m scripts.benchmarks texts few-shot
	.venv/bin/python -m scripts.benchmarks summary texts --per-task --report docs/benchmarks.md

benchmark-image:  ## Quality on images, ours and others' (hours; goes on where it stopped)
	.venv/bin/python -m scripts.benchmarks images domains
	.venv/bin/python -m scripts.benchmarks images few-shot
	.venv/bin/python -m scripts.benchmarks images init
	.venv/bin/python -m scripts.benchmarks summary images --per-task --report docs/benchmarks.md

benchmark-pipeline:  ## Wall-clock and memory of the whole way
	.venv/bin/python -m scripts.benchmarks pipeline tables --data $(DATA) \
		--out docs/results/pipeline.json --report docs/benchmarks.md

clean:  ## Remove caches and build leftovers, not .venv
	rm -rf build dist out .mypy_cache .ruff_cache .pytest_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
