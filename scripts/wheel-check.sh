#!/bin/sh
# Checks the release in dist/ and tries it as a new user would. Run it as root, on Debian. It ends with a list of what it could not test.
#
# - The packages themselves: twine, check-wheel-contents, auditwheel, abi3audit, the licences and the bill of materials.
# - new-user.sh on each CPython: those on PATH and in pyenv, and others from Debian suites, in roots that debootstrap makes once
#   in ~/.cache/pyctd/roots.
# - The sdist, in a root with only Python, pip and a C compiler.
# - The wheel for aarch64, loaded under qemu-user.
set -eu
cd "$(dirname "$0")/.."
scripts=$PWD/scripts
dist=$PWD/dist
# Debian suites with the Pythons that the machine may lack.
suites="3.13:trixie 3.14:forky"
work=$(mktemp -d /tmp/wc-XXXXXX) # short, because a socket's path is limited to 107 bytes
trap 'rm -rf "$work"' EXIT
untested=""
wheel=$(ls "$dist"/pyctd-*x86_64.whl)
arm=$(ls "$dist"/pyctd-*aarch64.whl)
sdist=$(ls "$dist"/pyctd-*.tar.gz)

. "$scripts/roots.sh"

say() { printf '\n== %s\n' "$*"; }

say "the packages"
twine check --strict "$wheel" "$arm" "$sdist"
# W002 reports duplicate files: many modules have identical licence texts.
check-wheel-contents --ignore W002 "$wheel" "$arm"
for file in "$wheel" "$arm"; do
    auditwheel show "$file" 2>/dev/null | tr '\n' ' ' | grep -o 'consistent with the following platform tag: "[^"]*"'
    abi3audit --strict "$file"
    python -m zipfile -l "$file" >"$work/listing"
    for said in sboms/libpyctd.cdx.json licenses/LICENSE licenses/github.com/docker/docker/LICENSE licenses/go/LICENSE; do
        grep -q "dist-info/$said" "$work/listing" || { echo "$file lacks $said" >&2; exit 1; }
    done
done

# No older version exists yet, so make one of this: another number, and a module that this version lacks.
python -m wheel unpack --dest "$work" "$wheel" >/dev/null
(
    cd "$work"/pyctd-*
    touch pyctd/_only_in_the_older.py
    sed -i 's/^Version: .*/Version: 0.0.1/' pyctd-*.dist-info/METADATA
    mv pyctd-*.dist-info pyctd-0.0.1.dist-info
)
mkdir "$work/older"
python -m wheel pack --dest-dir "$work/older" "$work"/pyctd-* >/dev/null
older=$(ls "$work"/older/*.whl)
# README's first Python example.
awk '/^```/ {if (inside) exit; if ($0 == "```python") {inside = 1; next}} inside' README.md >"$work/example.py"
cp "$wheel" "$arm" "$sdist" scripts/new-user.sh "$work"
wheel=$work/$(basename "$wheel")

say "the wheel, on each CPython"
for version in 3.10 3.11 3.12 3.13 3.14; do
    python=$(command -v "python$version" || true)
    # pyenv's command of that name only reports a Python that is installed but not selected.
    "${python:-false}" --version >/dev/null 2>&1 || python=$(ls "$HOME/.pyenv/versions/$version".*/bin/python 2>/dev/null | tail -n 1 || true)
    suite=$(echo "$suites" | tr ' ' '\n' | sed -n "s/^$version://p")
    if [ -n "$python" ]; then
        "$scripts/new-user.sh" "$python" "$wheel" "$older" "$work/example.py"
    elif [ -n "$suite" ] && make_root "$suite" "$suite" python3,python3-venv,containerd,runc,busybox-static &&
        in_root "$suite" "python$version" --version >/dev/null; then
        in_root "$suite" "$work/new-user.sh" "python$version" "$wheel" "$older" "$work/example.py"
    else
        untested="$untested CPython-$version"
    fi
done

say "the sdist, with only Python, pip and a C compiler"
if make_root build trixie python3,python3-dev,python3-pip,python3-venv,gcc,libc6-dev; then
    in_root build sh -euc 'cd "$TMPDIR"
        python3 -m venv built
        built/bin/pip wheel --quiet --no-deps --wheel-dir from-sdist pyctd-*.tar.gz
        built/bin/pip install --quiet from-sdist/*.whl
        built/bin/python -c "$0"' "import pyctd
try:
    pyctd.Client('/run/none.sock')
except pyctd.UnavailableError as error:
    print('built, installed and loaded:', error)"
else
    untested="$untested sdist"
fi

say "the wheel for aarch64"
need qemu-user-static
if make_root arm64 trixie python3 --arch=arm64 --foreign; then
    root=$roots/arm64
    for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    pip install --quiet --target "$work/arm64" --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 \
        --python-version 3.13 --implementation cp --only-binary=:all: "$arm"
    # Not in the checkout, where python -c would import the sources.
    (cd "$work" && QEMU_LD_PREFIX=$root PYTHONHOME=$root/usr PYTHONPATH=$work/arm64 \
        qemu-aarch64-static "$root/usr/bin/python3.13" -c "
import platform, pyctd
try:
    pyctd.Client('/run/none.sock')
except pyctd.UnavailableError as error:
    print('loaded on', platform.machine(), 'under qemu-user:', error)")
    untested="$untested containers-on-aarch64"
else
    untested="$untested aarch64"
fi

say "not tested:$untested musl"
