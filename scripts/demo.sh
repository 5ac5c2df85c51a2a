#!/bin/sh
# Installs tubelet into .venv-demo, fetches a real clip, and recognises what the people in it do.
set -eu
cd "$(dirname "$0")/.."
sh scripts/environment.sh .venv-demo
tubelet=.venv-demo/bin/tubelet

pulled=$("$tubelet" weights pull demo_video) # alone: a pipe would lose its exit status
clip=$(printf '%s\n' "$pulled" | sed -n 's/^demo_video: \(.*\) ([^()]*)$/\1/p') # "demo_video: PATH (LICENCE)" -> PATH
mkdir -p out
cp "$clip" out/demo.mp4

# The last line that this prints is "report: PATH"; the whole path, so that it can be opened from anywhere.
exec "$tubelet" recognize out/demo.mp4 --out "$(pwd)/out/demo" --overwrite
