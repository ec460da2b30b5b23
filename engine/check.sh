#!/bin/sh
# Checks pyctd-engine's wheels in dist/, and tries them. Run it as root, on Debian, with the tools of the group "engine" on PATH.
#
#   check.sh PYTHON [TESTS...]    PYTHON has pyctd and the tests' packages
#
# - The wheels: their size, tags and contents; the programs are static and run, those for aarch64 under qemu-user.
# - A build refuses a Go module or a source package that is not the pinned one.
# - Known vulnerabilities of what is compiled in.
# - In a Debian with only Python: pip installs pyctd and pyctd-engine, and README's example runs.
# - A selection of the integration tests on the engine's programs.
set -eu
cd "$(dirname "$0")/.."
scripts=$PWD/scripts dist=$PWD/dist
python=$1
shift
work=$(mktemp -d /tmp/ec-XXXXXX) # short, because a socket's path is limited to 107 bytes
trap 'rm -rf "$work"' EXIT
most=25000000
. "$scripts/roots.sh"

say() { printf '\n== %s\n' "$*"; }
fail() {
    echo "$*" >&2
    exit 1
}

say "the wheels"
twine check --strict "$dist"/pyctd_engine-*.whl
for wheel in "$dist"/pyctd_engine-*.whl; do
    case $wheel in *_x86_64.whl) arch=x86_64 ;; *) arch=aarch64 ;; esac
    [ "$(stat -c %s "$wheel")" -le $most ] || fail "$wheel has more than $most bytes"
    mkdir "$work/$arch"
    python -m zipfile -e "$wheel" "$work/$arch"
    said=$(echo "$work/$arch"/*.dist-info)
    for file in licenses/LICENSE licenses/go/LICENSE licenses/github.com/opencontainers/runc/NOTICE licenses/musl/COPYRIGHT \
        licenses/libseccomp/LICENSE licenses/libseccomp/NOTICE sboms/containerd.cdx.json sboms/containerd-shim-runc-v2.cdx.json; do
        [ -s "$said/$file" ] || fail "$wheel lacks $file"
    done
    grep -q '"name": "libseccomp"' "$said/sboms/runc.cdx.json" || fail "the bill of materials of runc lacks libseccomp"
    (cd "$work/$arch/pyctd_engine/source" && sha256sum --check --quiet libseccomp.sha256)
    run=""
    [ "$arch" = "$(uname -m)" ] || { need qemu-user-static && run=qemu-$arch-static; }
    for program in containerd containerd-shim-runc-v2 runc; do
        file=$work/$arch/pyctd_engine/bin/$program
        chmod +x "$file" # zipfile's own extraction forgets that; pip does not
        ! readelf --program-headers "$file" | grep -q INTERP || fail "$program for $arch is not static"
        case $program in *shim*) flag=-v ;; *) flag=--version ;; esac
        $run "$file" $flag | tr '\n' ' '
        echo
    done
    $run "$work/$arch/pyctd_engine/bin/runc" --version | grep -q "^libseccomp: " || fail "runc for $arch lacks seccomp"
    ls -l "$wheel"
done

say "what the build refuses"
git clone --quiet . "$work/clone"
refuses() { # refuses FILE EDIT WORDS: the build of that checkout, once sed has edited the file
    sed -i "$2" "$work/clone/engine/$1"
    if said=$("$work/clone/engine/build.sh" x86_64 2>&1); then fail "$1 was changed, and the build went on"; fi
    case $said in *"$3"*) echo "$1: $3" ;; *) fail "with $1 changed the build said: $said" ;; esac
    git -C "$work/clone" checkout --quiet .
}
refuses runc/go.sum '/runc v[^ ]* h1:/s/h1:..../h1:AAAA/' "checksum mismatch"
refuses libseccomp.sha256 's/^..../0000/' "did NOT match"

say "vulnerabilities"
for module in containerd runc; do
    # Without the tag seccomp, which needs libseccomp's headers: its binding has no entry in the database.
    tags=$(sed -n "s/^${module}_tags=\"\(.*\)\"$/\1/p" engine/build.sh | sed 's/seccomp //' | tr ' ' ,)
    GOFLAGS="-tags=$tags" "$scripts/vulncheck.sh" engine/$module tool engine/$module/vulnerabilities.md
done

say "pip install, in a Debian with only Python"
make_root only-python trixie python3,python3-venv
awk '/^```/ {if (inside) exit; if ($0 == "```python") {inside = 1; next}} inside' README.md >"$work/example.py"
# The example's container runs a busybox; the root has none, and the wheels bring none.
cp build/wheel/pyctd-*.whl "$dist"/pyctd_engine-*"$(uname -m)".whl /bin/busybox "$work"
in_root only-python sh -euc 'cd "$TMPDIR"
    ! command -v containerd runc
    python3 -m venv fresh
    fresh/bin/pip install --quiet --disable-pip-version-check ./pyctd-*.whl ./pyctd_engine-*.whl
    mkdir -p /bin && cp busybox /bin/busybox
    fresh/bin/python -W error example.py
    rm /bin/busybox
    fresh/bin/python -c "
import pyctd
with pyctd.Engine() as engine:
    for name, program in engine.versions.items():
        print(name, *program)
"'

say "tests on the engine's programs"
[ $# != 0 ] || set -- integration/test_container.py integration/test_task.py integration/test_exec.py integration/test_events.py \
    integration/test_process.py integration/test_signals.py integration/test_stdio.py integration/test_engine.py integration/test_apart.py
programs="$work/$(uname -m)/pyctd_engine/bin"
cd tests
PYCTD_ENGINE_PATH=$programs PATH="$programs:$PATH" "$python" -m pytest -c ../pyproject.toml --rootdir .. -q "$@"
