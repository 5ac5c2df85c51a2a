#!/bin/sh
# Runs every benchmark (or those named: scripts/bench.sh benchmarks/speed/decode.py) in its own environment, peers beside tubelet.
set -eu
cd "$(dirname "$0")/.."
sh scripts/environment.sh .venv-bench test,bench editable
[ $# -gt 0 ] || set -- benchmarks/speed/*.py
for script in "$@"; do
    echo "== $script"
    .venv-bench/bin/python "$script"
done
