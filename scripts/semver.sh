#!/usr/bin/env bash
# Whether the crate's version says what its public items became: `scripts/semver.sh REVISION` compares them with those
# of a revision; without one, of the last release before this commit. Wants cargo-semver-checks:
# `cargo install --locked cargo-semver-checks`.
set -euo pipefail
cd "$(dirname "$0")/.."

baseline=${1:-$(git describe --tags --abbrev=0 --match 'v*' HEAD^ 2> /dev/null || true)}
if [ -z "$baseline" ]; then
    echo "There is no earlier release to compare with."
    exit 0
fi
cargo semver-checks --only-explicit-features --baseline-rev "$baseline"
