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
	.venv/bin/mypy
	.venv/bin/mypy scripts

docs:  ## Build the documentation into out/site; a broken link is an error (needs .[docs])
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict -f docs/site/mkdocs.yml

docs-serve:  ## Show the documentation on http://127.0.0.1:8000 while it is written
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs serve -f docs/site/mkdocs.yml

benchmark:  ## Quality on tables, ours and others' (hours; goes on where it stopped; needs .[benchmark])
	.venv/bin/python scripts/benchmark_tabular.py $(TRAIN) --split meta-validation --out docs/results/tabular-metavalidation.csv
	.venv/bin/python scripts/benchmark_tabular.py $(DATA) --out docs/results/tabular-paper10.csv
	.venv/bin/python scripts/benchmark_figures.py docs/results/tabular-metavalidation.csv --out docs/figures
	.venv/bin/python scripts/benchmark_figures.py docs/results/tabular-paper10.csv --out docs/figures
	.venv/bin/python scripts/benchmark_summary.py docs/results/tabular-metavalidation.csv
	.venv/bin/python scripts/benchmark_summary.py docs/results/tabular-paper10.csv

benchmark-text:  ## Quality on texts, ours and others' (many hours; goes on where it stopped; needs .[benchmark])
	.venv/bin/python scripts/benchmark_text.py glue
	.venv/bin/python scripts/benchmark_text.py few-shot
	.venv/bin/python scripts/benchmark_text_summary.py --per-task --report docs/benchmarks.md

benchmark-image:  ## Quality on pictures, ours and others' (hours; goes on where it stopped)
	.venv/bin/python scripts/benchmark_image.py domains
	.venv/bin/python scripts/benchmark_image.py few-shot
	.venv/bin/python scripts/benchmark_image.py init
	.venv/bin/python scripts/benchmark_image_summary.py --per-task --report docs/benchmarks.md

benchmark-pipeline:  ## Wall-clock and memory of the whole way
	.venv/bin/python scripts/benchmark_pipeline.py --data $(DATA) \
		--out docs/results/pipeline.json --report docs/benchmarks.md

clean:  ## Remove caches and build leftovers, not .venv
	rm -rf build dist out .mypy_cache .ruff_cache .pytest_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
