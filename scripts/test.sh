#!/bin/sh
# Installs tubelet with what the tests need into .venv-test and runs the default tests, warnings as errors, with the coverage gate.
# `.venv-test/bin/coverage report -m` then shows the lines that no test reached.
# With options, runs pytest with those options and without the gate: scripts/test.sh -k timeline
set -eu
cd "$(dirname "$0")/.."
sh scripts/environment.sh .venv-test test,dev editable
# One thread per test process: two processes share the cores, and results do not depend on how many there are.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export OMP_NUM_THREADS
if [ $# -gt 0 ]; then
    exec .venv-test/bin/python -m pytest "$@"
fi
exec .venv-test/bin/python -m pytest -q -n "${TUBELET_TEST_PROCESSES:-2}" --dist worksteal --durations 15 --cov --cov-report=
