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

bench: ## this project and others side by side, ids compared first
	pip install -r bench/requirements.txt
	pip install --no-deps --target bench/rc --upgrade -r bench/requirements-rc.txt
	python bench/compare.py
