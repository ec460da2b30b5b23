#!/bin/sh
# Builds pyctd-engine's wheels into dist/: containerd, its shim and runc as static programs. PATH must have the tools of pyproject.toml's
# group "engine" (Go and zig among them), and apt, gperf, make and patch. Two builds of a commit give the same bytes.
#
#   build.sh [ARCHITECTURE...]    default: x86_64 and aarch64
#
# Go checks each module against go.sum, and this script libseccomp's source against libseccomp.sha256, before anything is compiled.
set -eu
umask 022
cd "$(dirname "$0")"
engine=$PWD
scripts=$(cd ../scripts && pwd)
dist=$(cd .. && pwd)/dist
containerd=github.com/containerd/containerd/v2 runc=github.com/opencontainers/runc
# Leave out what an engine of pyctd does not use.
containerd_tags="no_btrfs no_cri no_devmapper no_zfs no_tracing grpcnotrace"
# libpathrs is a Rust library, for which runc has a substitute in Go.
runc_tags="seccomp netgo osusergo urfave_cli_no_docs"
sbom_tool=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

[ -z "$(git status --porcelain .)" ] || echo "uncommitted changes are part of this build" >&2
work=$(mktemp -d)
chmod 755 "$work" # for apt, which downloads as a user of its own
trap 'rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct -- .)
export SOURCE_DATE_EPOCH GOTOOLCHAIN=local
fixed="-trimpath -mod=readonly -buildvcs=false"
GOFLAGS="-buildvcs=false" GOBIN="$work/tools" go install "$sbom_tool"

echo "sources"
for module in containerd runc; do
    (cd "$module" && GOFLAGS=-mod=readonly go mod download && go mod verify) >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
done
version_of() { (cd "$1" && go list -m -f '{{.Version}}' "$2"); }
containerd_version=$(version_of containerd $containerd) runc_version=$(version_of runc $runc)
libseccomp_version=$(sed -n 's/.*  libseccomp_\(.*\)\.orig\.tar\.gz$/\1/p' libseccomp.sha256)
debian_version=$(sed -n 's/.*  libseccomp_\(.*\)\.debian\.tar\.xz$/\1/p' libseccomp.sha256)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
[ "v${version%.post*}" = "$containerd_version" ] ||
    { echo "pyproject.toml has version $version, go.mod has containerd $containerd_version" >&2; exit 1; }
"$scripts/private-apt.sh" "$work/apt" trixie deb-src
mkdir "$work/libseccomp"
(cd "$work/libseccomp" && apt-get -c "$work/apt/apt.conf" -qq source --download-only "libseccomp=$debian_version") >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; exit 1; }
(cd "$work/libseccomp" && sha256sum --check --quiet "$engine/libseccomp.sha256")

# The C compiler, and what cgo asks for the flags of libseccomp.
export CC="$scripts/zig-cc" CFLAGS="-O2 -g0" CGO_CFLAGS="-O2 -g0" CGO_LDFLAGS="-Wl,--build-id=none"
ZIG_PYTHON=$(command -v python)
zig=$("$ZIG_PYTHON" -I -c 'import ziglang, os; print(os.path.dirname(ziglang.__file__))')
export ZIG_PYTHON PKG_CONFIG="$work/pkg-config"
cat >"$PKG_CONFIG" <<'END'
#!/bin/sh
case " $* " in
    *" --cflags "*) echo "-I$LIBSECCOMP/include" ;;
    *" --libs "*) echo "-L$LIBSECCOMP/lib -lseccomp" ;;
esac
END
chmod +x "$PKG_CONFIG"

program() { # program NAME MODULE PACKAGE VERSION TAGS LINKER-FLAGS: builds it, and writes its licences and bill of materials
    echo "$arch: $1"
    (cd "$2" && GOFLAGS=$fixed go build -tags "$5" -ldflags "-s -w -buildid= $6" -o "$package/bin/$1" "$3")
    "$work/tools/cyclonedx-gomod" bin -json -output-version 1.5 -noserial -std -licenses -version "$4" \
        -output "$work/$1.cdx.json" "$package/bin/$1" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    GOFLAGS="$fixed -tags=$(echo "$5" | tr ' ' ,)" python "$scripts/licences.py" "$work/$1.cdx.json" "$4" "$source/compiled-in" "$PWD/$2" "$3"
}

mkdir -p "$dist"
rm -f "$dist"/pyctd_engine-*
for arch in ${*:-x86_64 aarch64}; do
    case $arch in x86_64) GOARCH=amd64 ;; aarch64) GOARCH=arm64 ;; *) echo "no $arch" >&2; exit 1 ;; esac
    export CGO_ENABLED=0 GOARCH ZIG_TARGET="$arch-linux-musl" LIBSECCOMP="$work/$arch/libseccomp"
    source=$work/$arch/source package=$work/$arch/source/pyctd_engine
    mkdir -p "$package/bin" "$package/source" "$source/compiled-in/licenses"
    cp pyproject.toml setup.py README.md "$source"
    cp pyctd_engine/*.py pyctd_engine/py.typed "$package"

    echo "$arch: libseccomp"
    ./libseccomp.sh "$work/libseccomp" "$ZIG_TARGET" "$LIBSECCOMP" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    program containerd containerd $containerd/cmd/containerd "$containerd_version" "$containerd_tags" "-X $containerd/version.Version=$containerd_version"
    program containerd-shim-runc-v2 containerd $containerd/cmd/containerd-shim-runc-v2 "$containerd_version" "$containerd_tags" "-X $containerd/version.Version=$containerd_version"
    export CGO_ENABLED=1
    program runc runc $runc "$runc_version" "$runc_tags" "-X main.version=${runc_version#v} -linkmode external -extldflags '-static -s'"

    # What the LGPL asks for: runc can be linked again with another libseccomp.
    cp "$work/libseccomp"/libseccomp_*.tar.* libseccomp.sh build.sh libseccomp.sha256 "$package/source"
    for module in containerd runc; do
        for file in go.mod go.sum; do cp "$module/$file" "$package/source/$module.$file"; done
    done
    mkdir -p "$source/compiled-in/licenses/libseccomp" "$source/compiled-in/licenses/musl"
    tar -x -O -f "$work/libseccomp"/*.orig.tar.gz --wildcards '*/LICENSE' >"$source/compiled-in/licenses/libseccomp/LICENSE"
    tar -x -O -f "$work/libseccomp"/*.debian.tar.xz debian/copyright >"$source/compiled-in/licenses/libseccomp/copyright"
    cp NOTICE "$source/compiled-in/licenses/libseccomp/NOTICE"
    cp "$zig/lib/libc/musl/COPYRIGHT" "$source/compiled-in/licenses/musl"
    cp ../LICENSE "$source/compiled-in/licenses"
    python libraries.py "$source/compiled-in/sboms/runc.cdx.json" "$debian_version" "$work/libseccomp" "$("$ZIG_PYTHON" -I -m ziglang version)"
    python -c 'import json, sys; print(json.dumps(dict(word.split("=") for word in sys.argv[1:]), indent=1))' \
        "containerd=${containerd_version#v}" "runc=${runc_version#v}" "libseccomp=$libseccomp_version" \
        "go=$(go env GOVERSION | sed 's/^go//')" >"$package/versions.json"

    pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/$arch/wheel" "$source"
    # auditwheel's verdict must be that they need nothing of any C library. It does not name musllinux for programs that are static.
    verdict=$(auditwheel show "$work/$arch/wheel"/*.whl 2>"$work/log" | tr '\n' ' ')
    glibc=$(echo "$verdict" | sed -n 's/.*platform tag: *"manylinux_2_\([0-9]*\)_.*/\1/p')
    case $verdict in *"requires no external shared libraries"*) ;; *) glibc=none ;; esac
    [ "${glibc:-99}" -le 17 ] 2>/dev/null || { echo "auditwheel says: $verdict" >&2; exit 1; }
    python -m wheel tags --remove --python-tag py3 --abi-tag none --platform-tag "manylinux2014_$arch.musllinux_1_1_$arch" "$work/$arch/wheel"/*.whl >/dev/null
    mv "$work/$arch/wheel"/*.whl "$dist"
done
ls -l "$dist"/pyctd_engine-*
