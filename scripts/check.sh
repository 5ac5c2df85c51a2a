#!/bin/sh
# Format, lint, types, import contracts. Runs all four and fails if any of them did.
set -u
cd "$(dirname "$0")/.." || exit 1
sh scripts/environment.sh .venv-test test,dev editable || exit 1
bin=.venv-test/bin
failed=
step() {
    name=$1
    shift
    echo "== $name"
    "$@" || failed="$failed $name"
}
step format "$bin/ruff" format --check .
step lint "$bin/ruff" check --quiet --output-format concise .
step types "$bin/mypy"
step imports "$bin/lint-imports" --no-cache --no-logo
if [ -n "$failed" ]; then
    echo "failed:$failed"
    exit 1
fi
echo "all checks passed"
