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

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "install CRIU 4 or later; this script finds one with Debian's apt only"
# apt itself tells its mirrors, in whatever form they are configured.
# shellcheck disable=SC2154
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
# shellcheck disable=SC2016 # apt's variables
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$release" '($1 == release || $1 == "stable") && $2 == "main" {print $3; exit}')
[ "$(. /etc/os-release && echo "$ID")" = debian ] && [ -n "$mirror" ] || fail "apt's sources name no mirror of Debian"

apt=$directory/apt
rm -rf "$apt"
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] && signed=" [signed-by=$keyring]" || signed=""
echo "deb$signed $mirror $suite main" >"$apt/sources.list"
: >"$apt/status" # nothing is installed, so that all that CRIU needs is fetched
cat >"$apt/apt.conf" <<EOF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
#clear APT::Update;
EOF
private() { apt-get -c "$apt/apt.conf" -o APT::Get::List-Cleanup=false -qq "$@" >"$apt/log" 2>&1; }
# An update that could not fetch or verify anything is a warning to apt.
if ! private update || grep -q '^[WE]:' "$apt/log"; then
    fail "apt could not fetch or verify the package lists of Debian $suite (if a key is missing, install the newest" \
        "debian-archive-keyring): $(tail -n 3 "$apt/log")"
fi
private --yes --no-install-recommends --download-only install criu ||
    fail "apt could not fetch criu of Debian $suite: $(tail -n 3 "$apt/log")"
root=$directory/root
rm -rf "$root"
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
done
libraries=$(dirname "$(find "$root" -name 'libprotobuf-c.so.1')")
loader=$(find "$root" -name 'ld-linux*.so.*' | head -n 1)
program "$loader" --library-path "$libraries" "$root/usr/sbin/criu" || fail "that of Debian $suite: $why"
