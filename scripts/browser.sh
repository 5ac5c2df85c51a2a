#!/bin/sh
# Opens what tubelet writes for people in a headless Chromium (Debian: apt install chromium) and checks what they would see.
set -eu
cd "$(dirname "$0")/.."
sh scripts/environment.sh .venv-test test,dev editable
exec .venv-test/bin/python -m pytest -m browser tests/browser "$@"
