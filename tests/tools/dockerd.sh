#!/bin/sh
# Puts dockerd and its command line into a directory, for the tests of a dockerd beside pyctd.
#
#   dockerd.sh DIRECTORY
#
# They are the machine's own where there are any, else those of Debian's package docker.io, which is unpacked and not
# installed, so that no service starts.
set -eu

directory=$(mkdir -p "$1" && cd "$1" && pwd)
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "no dockerd for the tests: $*" >&2
    exit 1
}

own=$(command -v dockerd || true)
if [ -z "$own" ]; then
    [ "$(id -u)" = 0 ] || fail "it works for root only"
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "install docker.io; this script finds it with Debian's apt only"
    # libdevmapper is the one library of its that a small machine may lack.
    missing=docker.io
    ldconfig -p | grep -q libdevmapper || missing="docker.io libdevmapper1.02.1"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    # shellcheck disable=SC2086
    fetch() { (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq $missing) >"$work/log" 2>&1; }
    fetch || { apt-get update -qq >/dev/null 2>&1 && fetch; } || fail "apt could not fetch docker.io: $(tail -n 3 "$work/log")"
    rm -rf "$directory/root"
    for package in "$work"/*.deb; do
        dpkg-deb -x "$package" "$directory/root"
    done
    own=$directory/root/usr/sbin/dockerd
    library=$(find "$directory/root" -name 'libdevmapper.so*' -exec dirname {} \; | head -n 1)
    for program in dockerd docker; do
        real=$(find "$directory/root/usr" -path "*bin/$program")
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec %s "$@"\n' "$library" "$real" >"$directory/$program"
        chmod 755 "$directory/$program"
    done
else
    ln -sf "$own" "$directory/dockerd"
    ln -sf "$(command -v docker)" "$directory/docker"
fi
version=$("$directory/dockerd" --version) || { rm -f "$directory/dockerd"; fail "$own does not run"; }
"$directory/docker" --version >/dev/null || { rm -f "$directory/dockerd"; fail "there is no docker beside it"; }
echo "dockerd for the tests: $version"
