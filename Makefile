.PHONY: check develop test fuzz mutants coverage large newest lowest checked format docs bench

check: ## everything that CI runs
	.ci/run

develop: ## an editable install into the active virtual environment
	pip install maturin
	pip install -e '.[test]'

test: ## the tests alone, with what is installed
	pytest
	cargo test
	cargo test --manifest-path fuzz/Cargo.toml --no-default-features

fuzz: ## each fuzz target for FUZZ_SECONDS (60); needs a nightly Rust, cargo-fuzz and Atheris
	python scripts/fuzz.py

mutants: ## whether the tests can fail; needs cargo-mutants and Cosmic Ray
	python scripts/mutants_core.py
	python scripts/mutants_package.py

coverage: ## which lines the tests run; needs coverage and LLVM's tools
	python scripts/line_coverage.py

large: ## the Python tests with most examples for each property, and those that take minutes
	LLAMA3_TOK_EXAMPLES=20000 pytest -m "property or long or large"

newest: ## all Python tests with the newest version of every dependency, in a new environment
	python3 scripts/with_versions.py newest

lowest: ## the same with the lowest versions that pyproject.toml allows
	python3 scripts/with_versions.py lowest
	python3 scripts/with_versions.py lowest-core

checked: ## all Python tests on a core with debug assertions and checks of overflow, in a new environment
	CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
		python3 scripts/with_versions.py newest

format: ## rustfmt, ruff's formatter, and what ruff can mend
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml
	ruff format
	ruff check --fix

docs: ## the site, into target/docs/site; warnings, dead links and requests to other hosts fail
	python scripts/site

bench: ## this project and others side by side, ids compared first
	pip install -r bench/requirements.txt
	pip install --no-deps --target bench/rc --upgrade -r bench/requirements-rc.txt
	python bench/compare.py
