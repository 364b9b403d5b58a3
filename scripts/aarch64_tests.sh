#!/usr/bin/env bash
# Runs the core's tests as a 64-bit ARM processor would, under emulation on any other: the path by
# NEON and all else that depends on the processor. On such a processor `cargo test` does the same.
#
#     scripts/aarch64_tests.sh                 all tests of the core
#     scripts/aarch64_tests.sh all_paths       those whose names have it; more words as for `cargo test`
#
# Emulation is slow, so each property runs 1,000 cases; PROPTEST_CASES sets another number.
# LLAMA3_TOK_VOCAB is Meta's vocabulary, as for `cargo test`.
#
# Needs a C compiler and C library for ARM, the emulator, and a Rust compiler with the standard library
# for ARM. Debian's packages for that:
#
#     apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
#     rustup target add aarch64-unknown-linux-gnu
#
# Where rustup brings no library (offline, or no rustup), Debian's own compiler builds it from source,
# which takes some minutes the first time:
#
#     apt-get install rustc-web cargo-web rust-web-src
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
export PROPTEST_CASES=${PROPTEST_CASES:-1000}
# Optimised code is what users run, and emulation of any other takes several times as long.
export CARGO_PROFILE_TEST_OPT_LEVEL=2

cargo=cargo
build_std=()
library=$(rustc --print target-libdir --target "$target" 2> /dev/null || true)
if [ ! -d "$library" ]; then
    cargo=/usr/bin/cargo
    export RUSTC=/usr/bin/rustc
    # Building the standard library is for nightly compilers, or for one that is told to behave as one.
    export RUSTC_BOOTSTRAP=1
    build_std=(-Zbuild-std=std,panic_abort)
fi
exec "$cargo" test --locked --lib --target "$target" "${build_std[@]}" -- "$@"
