#!/usr/bin/env bash
# The core's unit tests under AddressSanitizer: no read or write outside of what was allocated, none after it
# was freed, nothing lost. Wants a nightly compiler, which alone has the flag.
#
#     scripts/sanitized.sh                  all tests
#     scripts/sanitized.sh lanes utf16      those whose names have one of these
#
#     rustup toolchain install nightly
#
# Every code path that the processor has is tried, so those of AVX2 and AVX-512 where it has them.
# LLAMA3_TOK_VOCAB is Meta's vocabulary, as for `cargo test`. Properties run 1,000 cases; PROPTEST_CASES sets
# another number.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Zsanitizer=address"
# Tests ask for more memory than there is, which has to be refused and not end them.
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1
export PROPTEST_CASES=${PROPTEST_CASES:-1000}
# What is not optimised is sanitized as well, and takes ten times as long.
export CARGO_PROFILE_TEST_OPT_LEVEL=2
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitized
exec cargo +nightly test --locked --lib --target "$target" -- "$@"
