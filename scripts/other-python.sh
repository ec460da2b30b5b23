#!/bin/sh
# other-python.sh oldest|newest: prints the path of a virtual environment with the built wheel and the test packages, for this
# machine's oldest or newest CPython from 3.10 on. If that is .venv's CPython, the path is .venv; otherwise the script makes one.
set -eu
cd "$(dirname "$0")/.."

interpreter() { # interpreter MINOR: prints the path of CPython 3.MINOR, from PATH or from pyenv
    for candidate in "python3.$1" "$(pyenv root 2>/dev/null || echo /nowhere)/versions/3.$1".*/bin/python3; do
        "$candidate" -c "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, $1))" 2>/dev/null || continue
        command -v "$candidate"
        return
    done
    return 1
}

minors="10 11 12 13 14 15 16"
[ "$1" = oldest ] || minors="16 15 14 13 12 11 10"
for minor in $minors; do
    python=$(interpreter "$minor") && break
done
if .venv/bin/python -c "import sys; sys.exit(sys.version_info[:2] != (3, $minor))"; then
    echo "the $1 CPython of this machine is .venv's" >&2
    echo "$PWD/.venv"
    exit
fi
other=.venv/python3.$minor
[ -x "$other/bin/python" ] || "$python" -m venv "$other" >&2
if [ ! -e "$other/installed" ] || [ .venv/installed -nt "$other/installed" ]; then
    wheel=$(ls build/wheel/pyctd-*.whl)
    "$other/bin/pip" install --quiet --upgrade 'pip>=24' >&2
    "$other/bin/pip" install --quiet --force-reinstall --no-deps "$wheel" >&2
    "$other/bin/pip" install --quiet "$wheel[cli,test]" >&2
    touch "$other/installed"
fi
echo "testing on $("$other/bin/python" --version)" >&2
echo "$PWD/$other"
