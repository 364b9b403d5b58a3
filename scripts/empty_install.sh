#!/usr/bin/env bash
# Installs the wheel in `dist` into an empty environment, without the network and without Rust, and runs what
# the README shows first. Needs the wheels of what it depends on beside it; the first of these fetches them:
#
#     scripts/empty_install.sh fetch    downloads them into `dist/needed`
#     scripts/empty_install.sh          installs and runs
#
# PYTHON is the Python to try it with.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
python=$(command -v "${PYTHON:-python3}")
version=$(grep -m 1 '^version' Cargo.toml | cut -d '"' -f 2)

if [ "${1:-}" = fetch ]; then
    # The project itself is given by its wheel, so `--only-binary` never builds anything.
    "$python" -m pip download --quiet --only-binary :all: --find-links dist --dest dist/needed "llama3_tok[vocab]==$version"
    exit
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
bin=$folder/venv/bin
[ -d "$bin" ] || bin=$folder/venv/Scripts
# Only the environment and the system: no cargo, whatever installed it.
system=/usr/bin:/bin
mkdir "$folder/path"
for tool in cargo rustc rustup maturin; do
    printf '#!/bin/sh\necho "%s was called" >&2\nexit 127\n' "$tool" > "$folder/path/$tool"
    chmod +x "$folder/path/$tool"
done
run() {
    (cd "$folder" && env -i HOME="$folder" PATH="$folder/path:$bin:$system" LANG=C.UTF-8 \
        SYSTEMROOT="${SYSTEMROOT:-}" "$@")
}

run "$bin/python" -m pip install --quiet --no-index --only-binary :all: \
    --find-links "$project/dist" --find-links "$project/dist/needed" "llama3_tok[vocab]==$version"
cp README.md "$folder/README.md"
count=$(run llama3-tok count README.md)
[ "$count" -gt 500 ] || { echo "llama3-tok count README.md gave $count" >&2; exit 1; }
[ "$(run "$bin/python" -m llama3_tok encode 'Hello world')" = "9906 1917" ]
printf 'Hello world' > "$folder/hello.txt"
# The examples in Python, as they stand there.
run "$bin/python" -c 'import doctest, sys; sys.exit(doctest.testfile("README.md", module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8").failed > 0)'
run "$bin/python" -c 'import llama3_tok; print(llama3_tok.__version__, llama3_tok.__file__)'
echo "installed without network and Rust: README.md has $count tokens, and its examples run"
