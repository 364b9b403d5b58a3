#!/usr/bin/env bash
# Builds the fuzz targets in Rust, as ClusterFuzzLite calls it: programs, corpora and dictionaries go to $OUT.
set -euo pipefail

cargo fuzz build -O --debug-assertions
for path in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$path" .rs)
    cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
    zip -jqr "$OUT/${target}_seed_corpus.zip" "fuzz/corpus/$target"
    # What targets.toml says of it, in the form that ClusterFuzzLite reads.
    python3 - "$target" "$OUT" <<'PYTHON'
import shutil, sys, tomllib

target, out = sys.argv[1:]
with open("fuzz/targets.toml", "rb") as file:
    said = tomllib.load(file)[target]
with open(f"{out}/{target}.options", "w") as file:
    file.write(f"[libfuzzer]\nmax_len = {said['max_len']}\n")
if "dictionary" in said:
    shutil.copyfile(f"fuzz/dictionaries/{said['dictionary']}.dict", f"{out}/{target}.dict")
PYTHON
done
