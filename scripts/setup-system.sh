#!/bin/sh
# Installs the missing Debian packages that are needed to build, test and demonstrate pyctd.
set -eu

packages=""
need() { # need COMMAND-OR-FILE PACKAGE
    case $1 in
        /*) [ -e "$1" ] || packages="$packages $2" ;;
        *) command -v "$1" >/dev/null 2>&1 || packages="$packages $2" ;;
    esac
}
PATH=$PATH:/usr/sbin:/sbin
need containerd containerd
need runc runc
need /bin/busybox busybox-static
need iptables iptables # CRIU uses it to lock the network
need gcc gcc
need /usr/include/stdlib.h libc6-dev
need git git
need ps procps # pyctd top runs it
python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || packages="$packages python3"
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || packages="$packages python3-venv"
header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null || echo /nowhere)/Python.h
[ -e "$header" ] || packages="$packages python3-dev"

[ -n "$packages" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "pyctd needs these packages; as root, run: apt-get install$packages" >&2
    exit 1
fi
command -v apt-get >/dev/null || { echo "pyctd needs these Debian packages or their equivalents:$packages" >&2; exit 1; }
echo "installing:$packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $packages
