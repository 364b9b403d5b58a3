#!/usr/bin/env bash
# Runs the tests of threads on a free-threaded Python, with its lock off: `PYTHON=python3.14t scripts/free_threaded.sh`.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet '.[vocab]' pytest pytest-xdist hypothesis tiktoken
# It would turn the lock off or on, whatever the module says.
unset PYTHON_GIL
"$folder/venv/bin/python" - << 'CHECK'
import sys

import llama3_tok

llama3_tok.Tokenizer().encode("Hello")
if sys._is_gil_enabled():
    raise SystemExit("the global lock is on: this is not a free-threaded Python, or a module asked for it")
CHECK
"$folder/venv/bin/pytest" --numprocesses 0 \
    tests/test_cache.py tests/test_files.py tests/test_files_running.py tests/test_incremental.py \
    tests/test_prefix_cache.py tests/test_slices.py tests/test_stream_decoder.py tests/test_tokenizer.py \
    tests/test_threads.py
