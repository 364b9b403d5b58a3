#!/usr/bin/env bash
# Checks the workflows, the hook and the citation: what they may do, what they pin, and their form. Uses no network.
# Needs zizmor and check-jsonschema, of the extra `test`.
set -euo pipefail
cd "$(dirname "$0")/.."

zizmor --offline --no-progress --persona pedantic .github
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
