#!/bin/sh
# Makes an apt.conf for an apt-get that fetches packages of a suite of Debian from the mirror that the machine already uses, and
# verifies them. It leaves the system's own lists and caches alone.
#
#   private-apt.sh DIRECTORY SUITE TYPE    makes DIRECTORY/apt.conf; TYPE is deb, or deb-src for source packages
set -eu
mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
directory=$(cd "$1" && pwd) suite=$2 type=$3

fail() {
    echo "$*" >&2
    exit 1
}

command -v apt-get >/dev/null && [ "$(. /etc/os-release && echo "$ID")" = debian ] || fail "this needs Debian's apt"
# apt knows its mirrors, in whatever form they are configured.
# shellcheck disable=SC2154
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
# shellcheck disable=SC2016 # apt's variables
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$release" '($1 == release || $1 == "stable") && $2 == "main" {print $3; exit}')
[ -n "$mirror" ] || fail "apt's sources name no mirror of Debian"

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] && signed=" [signed-by=$keyring]" || signed=""
echo "$type$signed $mirror $suite main" >"$directory/sources.list"
: >"$directory/status" # nothing is installed, so that a package's dependencies are fetched, too
cat >"$directory/apt.conf" <<EOF
Dir::Etc::SourceList "$directory/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$directory/lists";
Dir::State::status "$directory/status";
Dir::Cache "$directory/cache";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Get::List-Cleanup "false";
#clear APT::Update;
EOF
# apt only warns if an update could not fetch or verify anything.
if ! apt-get -c "$directory/apt.conf" -qq update >"$directory/log" 2>&1 || grep -q '^[WE]:' "$directory/log"; then
    fail "apt could not fetch or verify the package lists of Debian $suite (if a key is missing, install the newest" \
        "debian-archive-keyring): $(tail -n 3 "$directory/log")"
fi
