#!/bin/sh
# Builds the documentation into site/; a broken link or a missing docstring target fails the build.
set -eu
cd "$(dirname "$0")/.."
sh scripts/environment.sh .venv-test test,dev,docs editable
NO_MKDOCS_2_WARNING=1 .venv-test/bin/mkdocs build --quiet --strict
echo "documentation: $(pwd)/site/index.html"
