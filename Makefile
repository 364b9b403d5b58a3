.PHONY: check develop test format bench

check: ## everything that CI runs
	.ci/run

develop: ## an editable install into the active virtual environment
	pip install maturin
	pip install -e '.[test]'

test: ## the tests alone, with what is installed
	pytest
	cargo test

format:
	cargo fmt
	ruff format
	ruff check --fix

bench: ## this project and tiktoken side by side, ids compared first
	python bench/compare.py
