#!/bin/sh
# Does what a new user does with a wheel, on one Python: installs it in an empty virtual environment, runs README's example,
# uninstalls it, upgrades from an older version, and runs it without containerd, which must say what to install.
#
#   new-user.sh PYTHON WHEEL OLDER-WHEEL EXAMPLE
set -eu
python=$1 wheel=$2 older=$3 example=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # away from the checkout
fail() {
    echo "$("$python" --version): $*" >&2
    exit 1
}
run_example() {
    said=$(TMPDIR="$work" venv/bin/python -W error "$example" 2>&1) || fail "the example failed: $said"
    [ "$said" = "0 b'hello\\n'" ] || fail "the example printed: $said"
}

"$python" -m venv venv
pip="venv/bin/pip --quiet --disable-pip-version-check"
$pip install "$wheel"
run_example
$pip uninstall --yes pyctd
if venv/bin/python -c 'import pyctd' 2>/dev/null || ls -d venv/lib/python*/site-packages/pyctd* 2>/dev/null; then
    fail "uninstalling it left something behind"
fi

$pip install "$older"
venv/bin/python -c 'import pyctd._only_in_the_older'
$pip install --upgrade "$wheel"
if venv/bin/python -c 'import pyctd._only_in_the_older' 2>/dev/null; then
    fail "the upgrade left something of the older version behind"
fi
run_example

if said=$(PATH="$work/venv/bin" venv/bin/python -c 'import pyctd; pyctd.Engine()' 2>&1); then
    fail "it did not notice that containerd is missing"
fi
case $said in
    *"containerd is not on PATH: install it (on Debian: apt-get install containerd)"*) ;;
    *) fail "without containerd it said: $said" ;;
esac
echo "$("$python" --version): installed, run, uninstalled, upgraded, run; without containerd it says what to install"
