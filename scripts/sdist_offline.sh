#!/usr/bin/env bash
# Builds and installs the source distribution in `dist` without the network: its crates are vendored first, in the
# versions that its Cargo.lock has, and cargo then finds nothing else. Needs maturin in the Python that is active.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=(dist/*.tar.gz)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar -xzf "${sources[0]}" -C "$folder"
cd "$folder"/llama3_tok-*

# The one step with the network: on another machine this folder is copied.
mkdir .cargo
cargo vendor --locked vendor > .cargo/config.toml 2> vendor.log

# An empty home of cargo, so that no crate is found that was fetched before.
export CARGO_HOME=$folder/cargo CARGO_NET_OFFLINE=true
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$folder/target}
pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir "$folder/wheels" .
ls -l "$folder/wheels"
