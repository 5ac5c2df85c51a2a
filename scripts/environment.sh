#!/bin/sh
# environment.sh NAME [EXTRAS [editable]]: makes or refreshes the virtual environment NAME with tubelet[EXTRAS] in it.
# Does nothing when neither pyproject.toml nor constraints.txt (nor, without "editable", the sources) changed since the last time.
set -eu
cd "$(dirname "$0")/.."
name=$1
extras=${2:-}
mode=${3:-}

usable() {  # an interpreter that runs, is new enough, and can make environments
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" && { echo "$PYTHON"; return; }
        echo "PYTHON=$PYTHON is not a Python 3.11 or newer with the venv module; name another, or leave PYTHON empty." >&2
        return 1
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        usable "$candidate" && { echo "$candidate"; return; }
    done
    echo "No Python 3.11 or newer with the venv module was found (tried python3, python3.13, python3.12, python3.11, python)." >&2
    echo "Install one (on Debian and Ubuntu: apt install python3 python3-venv), or name it: make ... PYTHON=/path/to/python3.12" >&2
    return 1
}

fingerprint() {
    {
        pwd # scripts in an environment name the folder they were made in
        cat pyproject.toml constraints.txt
        [ "$mode" = editable ] || find src -type f ! -name '*.pyc' -exec cksum {} + | sort
    } | cksum
}

stamp="$name/.tubelet-installed-$(echo "$extras" | tr ',' '-')"
wanted=$(fingerprint)
if [ -x "$name/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

if ! "$name/bin/python" -m pip --version >/dev/null 2>&1; then # none, or one that was interrupted in the making
    python=$(find_python)
    echo "making $name with $("$python" --version)"
    "$python" -m venv --clear "$name"
fi
what=.
[ -z "$extras" ] || what=".[$extras]"
echo "installing tubelet${extras:+[$extras]} into $name (the first time takes some minutes)"
set -- "$what"
[ "$mode" != editable ] || set -- -e "$what"
"$name/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt "$@"
echo "$wanted" >"$stamp"
