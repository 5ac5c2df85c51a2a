#!/bin/sh
# Installs tubelet into .venv-demo, fetches a real clip, and recognises what the people in it do.
set -eu
cd "$(dirname "$0")/.."
sh scripts/environment.sh .venv-demo
clip=$(.venv-demo/bin/tubelet weights pull demo-clip)
.venv-demo/bin/tubelet recognize "$clip" --out out/demo --overwrite
echo "report: $(pwd)/out/demo/report.html"
