#!/bin/sh
# Builds the release of the current commit into dist/: a wheel for each platform, and the sdist. PATH must have Go and the tools of
# pyproject.toml's group "release". Two builds of a commit give the same bytes.
#
#   wheel.sh [ARCHITECTURE...]    default: x86_64 and aarch64
set -eu
umask 022
cd "$(dirname "$0")/.."
scripts=$PWD/scripts
dist=$PWD/dist
# The oldest glibc that the wheels support. They are linked against it, and the script fails if they need a newer one.
glibc=2.28
sbom_tool=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

[ -z "$(git status --porcelain)" ] || echo "uncommitted changes are not part of the release" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
git archive HEAD | tar -x -C "$work/source"
git -C "$work/source" init --quiet # cyclonedx-gomod needs a repository for the version, which is replaced later
git -C "$work/source" -c user.name=release -c user.email=release@localhost commit --quiet --allow-empty -m release
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH GOTOOLCHAIN=local GOFLAGS="-trimpath -mod=readonly -buildvcs=false"
mkdir -p "$dist"
rm -rf "$dist"/pyctd-* # pyctd-engine's wheels stay
cd "$work/source"

echo "sdist"
pyproject-build --sdist --no-isolation --outdir "$work/sdist" . >"$work/log" || { cat "$work/log" >&2; exit 1; }
name=$(basename "$work"/sdist/*.tar.gz .tar.gz)
# Repacked, because setuptools' archive contains the time of its creation.
tar -x -C "$work" -f "$work/sdist/$name.tar.gz"
tar -c -C "$work" --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner "$name" |
    gzip -n -9 >"$dist/$name.tar.gz"

GOFLAGS="-trimpath -buildvcs=false" GOBIN="$work/bin" go install "$sbom_tool"
# A compiler for the platform, independent of the flags that this Python was built with.
export CC="$scripts/zig-cc" LDSHARED="$scripts/zig-cc -shared" CGO_ENABLED=1
export CFLAGS="-O2 -g0" LDFLAGS="-Wl,--build-id=none -Wl,-z,relro,-z,now"
ZIG_PYTHON=$(command -v python)
export ZIG_PYTHON PYCTD_COMPILED_IN="$work/compiled-in"
for arch in ${*:-x86_64 aarch64}; do
    echo "wheel for $arch"
    case $arch in x86_64) GOARCH=amd64 ;; aarch64) GOARCH=arm64 ;; *) echo "no $arch" >&2; exit 1 ;; esac
    export GOARCH ZIG_TARGET="$arch-linux-gnu.$glibc"
    rm -rf "$PYCTD_COMPILED_IN" build
    (cd gosrc && "$work/bin/cyclonedx-gomod" app -json -output-version 1.5 -noserial -std -licenses -output "$work/libpyctd.cdx.json" -main . . 2>"$work/log") ||
        { cat "$work/log" >&2; exit 1; }
    python scripts/licences.py "$work/libpyctd.cdx.json" "${name#*-}" "$PYCTD_COMPILED_IN"
    pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/wheel-$arch" "-C--build-option=--plat-name=linux_$arch" .
    # auditwheel reports the glibc that the wheel needs, but sets tags only for the machine's own architecture.
    needs=$(auditwheel show "$work/wheel-$arch"/*.whl 2>"$work/log" | tr '\n' ' ' | sed -n 's/.*platform tag: *"manylinux_\([0-9]*_[0-9]*\)_.*/\1/p')
    if [ -z "$needs" ] || [ "${needs#2_}" -gt "${glibc#2.}" ]; then
        echo "the wheel for $arch needs glibc ${needs:-of some other kind}, not $glibc:" >&2
        cat "$work/log" >&2
        auditwheel show "$work/wheel-$arch"/*.whl >&2
        exit 1
    fi
    python -m wheel tags --remove --platform-tag "manylinux_$(echo $glibc | tr . _)_$arch" "$work/wheel-$arch"/*.whl >/dev/null
    mv "$work/wheel-$arch"/*.whl "$dist"
done
ls -l "$dist"
