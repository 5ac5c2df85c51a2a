#!/bin/sh
# environment.sh NAME [EXTRAS [editable]]: makes or refreshes the virtual environment NAME with tubelet[EXTRAS] in it.
# Does nothing when neither pyproject.toml nor constraints.txt (nor, without "editable", the sources) changed since the last time.
set -eu
cd "$(dirname "$0")/.."
name=$1
extras=${2:-}
mode=${3:-}

minor_version() { # of an interpreter that runs, is a Python 3.11 or newer, and can make environments; else nothing
    "$1" -c 'import sys, venv, ensurepip; sys.version_info < (3, 11) or print(sys.version_info.minor)' 2>/dev/null
}

warn_if_newer() {
    [ "$2" -le "$newest" ] ||
        echo "warning: $1 is Python 3.$2; tubelet is tested with Python 3.11 to 3.$newest, and some package may not be there for it." >&2
}

find_python() {
    newest=13 # that constraints.txt was tested with
    if [ -n "${PYTHON:-}" ]; then
        minor=$(minor_version "$PYTHON") || minor=
        if [ -n "$minor" ]; then
            warn_if_newer "$PYTHON" "$minor"
            echo "$PYTHON"
            return
        fi
        echo "PYTHON=$PYTHON is not a Python 3.11 or newer with the venv module; name another, or leave PYTHON empty." >&2
        return 1
    fi
    newer=
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        minor=$(minor_version "$candidate") || minor=
        [ -n "$minor" ] || continue
        [ "$minor" -gt "$newest" ] || { echo "$candidate"; return; }
        [ -n "$newer" ] || { newer=$candidate; newer_minor=$minor; }
    done
    if [ -n "$newer" ]; then
        warn_if_newer "$newer" "$newer_minor"
        echo "$newer"
        return
    fi
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
