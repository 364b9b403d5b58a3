#!/usr/bin/env bash
# Tests what threads share under a scheduler that chooses which thread goes on at each step, and so tries
# thousands of their orders (crate shuttle, rust/machine/sync.rs): streams of files, and the reserve of memory.
#
#     scripts/thread_orders.sh
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTFLAGS="--cfg shuttle"
# Flags of the compiler are for all crates: what is built otherwise stays where it is.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/shuttle
exec cargo test --locked --lib -- in_every_order "$@"
