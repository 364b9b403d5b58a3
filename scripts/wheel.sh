#!/usr/bin/env bash
# Builds the wheels of one target into `dist`, with nothing in them of the time or the paths of the machine:
#
#     scripts/wheel.sh x86_64-unknown-linux-gnu             for Python 3.11 and later
#     scripts/wheel.sh x86_64-unknown-linux-gnu python3.14t the free-threaded one
#     scripts/wheel.sh sdist                                the source distribution
#
# Needs maturin, and for Linux and macOS zig, which links for an old C library and for other processors:
# `pip install -r .github/requirements.txt`. Rust's part of the target is fetched with `rustup target add`.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$1
interpreter=${2:-python3.11}

# What a wheel would otherwise have of the machine and the time: dates in the archive, and paths in the library.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
crates=${CARGO_HOME:-$HOME/.cargo}
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$crates=/cargo"$'\x1f'"--remap-path-prefix=$PWD=/source"
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$crates=/cargo"

if [ "$target" = sdist ]; then
    exec maturin sdist --out dist
fi
if command -v rustup > /dev/null; then
    rustup target add "$target"
fi
options=()
case $target in
    *-linux-gnu) options+=(--zig --compatibility manylinux2014) ;;
    *-linux-musl) options+=(--zig --compatibility musllinux_1_2) ;;
    *-apple-darwin)
        # The oldest macOS that Rust supports.
        case $target in aarch64*) oldest=11.0 ;; *) oldest=10.12 ;; esac
        export MACOSX_DEPLOYMENT_TARGET=$oldest
        [ "$(uname)" = Darwin ] || options+=(--zig)
        ;;
    *-windows-msvc) unset CFLAGS ;;
esac
exec maturin build --release --locked --strip --target "$target" --interpreter "$interpreter" \
    "${options[@]}" --out dist
