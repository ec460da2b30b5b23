#!/bin/sh
# Builds the static libseccomp that is linked into runc, from Debian's source package:
#
#   libseccomp.sh SOURCE HOST PREFIX
#
# SOURCE is the directory of the package's archives, HOST is such as x86_64-linux-musl, PREFIX gets include/ and lib/. CC and CFLAGS
# are used as ever. Besides a C compiler it needs gperf, make and patch.
set -eu
source=$(cd "$1" && pwd) host=$2 prefix=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tar -x -C "$work" -f "$source"/libseccomp_*.orig.tar.gz
cd "$work"/libseccomp-*
tar -x -f "$source"/libseccomp_*.debian.tar.xz
while read -r patch; do
    patch --quiet --strip=1 <"debian/patches/$patch"
done <debian/patches/series
./configure --quiet --host="$host" --prefix="$prefix" --disable-shared --enable-static
# Some patches are newer than what autoconf and automake made of the files that they change.
for part in include src; do
    make --silent --directory="$part" ACLOCAL=: AUTOCONF=: AUTOHEADER=: AUTOMAKE=: SUBDIRS= install
done
