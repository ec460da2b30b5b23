# Functions for scripts that try packages in a Debian of their own: sourced, as root, on Debian. $work is the script's directory, which
# has the same path in the root.

# Not in the checkout: a build copies the checkout, and would read the roots' devices without end.
roots=${XDG_CACHE_HOME:-$HOME/.cache}/pyctd/roots

need() { # need PACKAGE...: installs Debian packages
    for package; do dpkg -s "$package" >/dev/null 2>&1 || apt-get install -y -qq "$package" >/dev/null; done
}

make_root() { # make_root NAME SUITE PACKAGES [OPTION...]: installs a Debian below $roots, unless it is there already
    name=$1 suite=$2 packages=$3
    shift 3
    [ ! -e "$roots/$name.made" ] || return 0
    need debootstrap
    # shellcheck disable=SC2016 # apt's variables
    mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$(. /etc/os-release && echo "$VERSION_CODENAME") //p" | head -n 1)
    # debootstrap treats a suite that it does not know as sid.
    script=/usr/share/debootstrap/scripts/$suite
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    rm -rf "${roots:?}/$name"
    mkdir -p "$roots"
    debootstrap --variant=minbase --include="$packages" "$@" "$suite" "$roots/$name" "$mirror" "$script" >"$roots/$name.log" 2>&1 &&
        touch "$roots/$name.made"
}

in_root() { # in_root NAME COMMAND...: with the kernel's file systems, the network and $work of this machine
    root=$roots/$1
    shift
    mkdir -p "$root$work" "$root/etc/ssl/certs"
    touch "$root/etc/resolv.conf" "$root/etc/ssl/certs/ca-certificates.crt"
    # shellcheck disable=SC2016
    ROOT=$root WORK=$work unshare --mount sh -euc '
        mount --bind "$ROOT" "$ROOT" # runc can only pivot away from a mount point
        for directory in /proc /sys /dev; do mount --rbind "$directory" "$ROOT$directory"; done
        for same in "$WORK" /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do mount --bind "$same" "$ROOT$same"; done
        exec chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR="$WORK" \
            PIP_CERT=/etc/ssl/certs/ca-certificates.crt ${GOPROXY:+GOPROXY="$GOPROXY"} "$@"' sh "$@"
}
