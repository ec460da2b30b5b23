#!/bin/sh
# Puts a CRIU that works on this machine's kernel into a directory, as a program named criu, for the tests.
#
#   criu.sh DIRECTORY
#
# That is the machine's own where it is version 4 or later and passes its own check. Otherwise it is Debian trixie's, with
# its own C library, unpacked below DIRECTORY: older ones know no recent kernel's vDSO. apt fetches it from the mirror
# that the machine uses anyway and verifies it as ever; apt's lists and caches of the system are not touched.
set -eu

suite=trixie
directory=$(mkdir -p "$1" && cd "$1" && pwd)
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "no CRIU for the tests: $*" >&2
    exit 1
}

works() { # works PROGRAM: prints why not
    version=$("$1" --version 2>/dev/null | sed -n 's/^Version: *//p')
    case $version in
        "") echo "it does not run" ;;
        [0-3].* | [0-3]) echo "it is version $version, and 4 is needed" ;;
        *) said=$("$1" check 2>&1) || echo "its check says: $said" ;;
    esac
}

program() { # program WORD...: makes that command DIRECTORY/criu and ends, unless it does not work; then why tells
    (
        printf '#!/bin/sh\nexec'
        printf ' "%s"' "$@"
        printf ' "$@"\n'
    ) >"$directory/criu.new"
    chmod 755 "$directory/criu.new"
    why=$(works "$directory/criu.new")
    [ -z "$why" ] || return 1
    mv "$directory/criu.new" "$directory/criu"
    echo "CRIU for the tests: $("$directory/criu" --version | head -n 1)"
    exit 0
}

[ "$(id -u)" = 0 ] || fail "it works for root only"
if own=$(command -v criu); then
    program "$own" || echo "passing over the machine's own CRIU, $own: $why" >&2
fi

command -v dpkg-deb >/dev/null || fail "install CRIU 4 or later; this script finds one with Debian's apt only"
apt=$directory/apt
rm -rf "$apt"
trap 'rm -rf "$apt"' EXIT
said=$("$(dirname "$0")/../../scripts/private-apt.sh" "$apt" "$suite" deb 2>&1) || fail "$said"
apt-get -c "$apt/apt.conf" -qq --yes --no-install-recommends --download-only install criu >"$apt/log" 2>&1 ||
    fail "apt could not fetch criu of Debian $suite: $(tail -n 3 "$apt/log")"
root=$directory/root
rm -rf "$root"
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
done
libraries=$(dirname "$(find "$root" -name 'libprotobuf-c.so.1')")
loader=$(find "$root" -name 'ld-linux*.so.*' | head -n 1)
program "$loader" --library-path "$libraries" "$root/usr/sbin/criu" || fail "that of Debian $suite: $why"
