#!/bin/sh
# Boots a guest with pure cgroup v2 and systemd, runs tests/vm/smoke.py in it, and prints a row for each check.
# Run it as root, on Debian. It exits with 1 if a row fails, or if the guest does not finish in time, and with 77 if there is no
# guest, because it cannot be installed here or does not boot.
#
#   vm-test.sh PYTHON WHEEL [ROW...]
#
#   VM_KERNEL=uml   boots User Mode Linux, which is fast but has no checkpoints; the default is Debian's own kernel in QEMU
#   VM_ACCEL=kvm    for a machine whose /dev/kvm runs stock kernels; the default emulates the processors
#   VM_INSTALL=600  how many seconds the installation of a root file system may take
#   VM_TIMEOUT=900  how many seconds the guest may take
#   VM_PROGRAMS=DIR programs to put first on the guest's PATH; if containerd is among them, the rows run on an engine
#
# The guest is Debian trixie, which mmdebstrap installs once in ~/.cache/pyctd/vm. The QEMU that runs it is trixie's as well, because
# bookworm's crashes with several emulated processors. The guest has no network. Only its console is kept, in build/vm/console.log.
set -eu
python=$1 wheel=$2
shift 2
cd "$(dirname "$0")/.."
log=$PWD/build/vm
# Not in the checkout: a build copies the checkout, and would read the roots' devices without end.
above=${XDG_CACHE_HOME:-$HOME}
[ -O "$above" ] || {
    echo "$above is not this user's, and its owner could choose what runs here as root: set XDG_CACHE_HOME to a directory of root's" >&2
    exit 1
}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pyctd/vm
kernel=${VM_KERNEL:-qemu}
work=$(mktemp -d /tmp/vm-XXXXXX)
vm="" host=guest # the root of the cache that the guest's kernel is started in
cleanup() {
    [ -z "$vm" ] || { kill "$vm" && wait "$vm"; } 2>/dev/null || true
    rm -rf "$work"
    rmdir "$cache/$host$work" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM
PATH=$PATH:/usr/sbin:/sbin

no_guest() { # no_guest REASON
    echo "no guest, so nothing is tested on pure cgroup v2: $1" >&2
    exit 77
}

make_root() { # make_root NAME PACKAGES [OPTION...]: installs a Debian in $cache/NAME, unless the same is there already
    name=$1 packages=$2
    shift 2
    made="$packages $*"
    [ "$(cat "$cache/$name.made" 2>/dev/null)" != "$made" ] || return 0
    echo "installing $cache/$name, a few minutes"
    command -v mmdebstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends mmdebstrap; } >/dev/null ||
        no_guest "mmdebstrap cannot be installed"
    # shellcheck disable=SC2016 # apt's variables
    mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$(. /etc/os-release && echo "$VERSION_CODENAME") //p" | head -n 1)
    rm -rf "${cache:?}/$name" "$cache/$name.made"
    timeout "${VM_INSTALL:-600}" mmdebstrap --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --include="$packages" "$@" \
        trixie "$cache/$name" "$mirror" >"$cache/$name.log" 2>&1 || no_guest "mmdebstrap fails: $(tail -n 1 "$cache/$name.log")"
    printf '%s\n' "$made" >"$cache/$name.made"
}

mkdir -p "$cache"
exec 9>"$cache/lock" # the first of several runs makes the roots
flock --wait "${VM_INSTALL:-600}" 9 || no_guest "another run is installing it"
# A minimal initrd loads in seconds.
# shellcheck disable=SC2016 # mmdebstrap's shell
make_root guest systemd,systemd-sysv,dbus,udev,kmod,linux-image-cloud-amd64,user-mode-linux,containerd,runc,crun,criu,apparmor,iptables,procps,python3 \
    --dpkgopt='path-exclude=/usr/lib/uml/modules/*' \
    --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"
        printf "MODULES=list\nCOMPRESS=gzip\n" >"$1/etc/initramfs-tools/conf.d/vm"
        printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"'
[ "$kernel" = uml ] || { host=qemu && make_root qemu qemu-system-x86,seabios; }
[ "$cache/guest.ext4" -nt "$cache/guest.made" ] || {
    mke2fs -q -t ext4 -O ^has_journal -d "$cache/guest" "$cache/new.ext4" 2G >/dev/null && mv "$cache/new.ext4" "$cache/guest.ext4"
}
exec 9>&-

# The second disk has the wheel with its dependencies, a root file system for containers, and the program.
mkdir "$work/disk"
"$python" -m pip install --quiet --target "$work/disk/python" --python-version 3.13 --implementation cp --only-binary=:all: \
    --platform linux_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 "$wheel[cli]"
PYTHONPATH=tests "$python" -c 'import sys, pathlib
from support.busybox import make_rootfs
make_rootfs(pathlib.Path(sys.argv[1]))' "$work/disk/rootfs"
mkdir -p "$work/disk/tests/vm" "$work/disk/bin"
cp tests/vm/*.py examples/engine.service "$work/disk/tests/vm"
[ -z "${VM_PROGRAMS:-}" ] || cp "$VM_PROGRAMS"/* "$work/disk/bin"
cat >"$work/disk/run" <<END
#!/bin/sh
export PATH=/vm/bin:/usr/sbin:/usr/bin PYTHONPATH=/vm/tests:/vm/python
systemctl start multi-user.target # which includes D-Bus and containerd
stty -F /dev/ttyS1 raw
exec python3 -m vm.smoke /vm/rootfs /dev/ttyS1 $*
END
chmod +x "$work/disk/run"
mke2fs -q -t ext4 -d "$work/disk" "$work/disk.ext4" 512M >/dev/null

# systemd runs a program from the second disk, and then powers the machine off. apparmor.service compiles Debian's hundred
# profiles, which takes minutes.
systemd="systemd.run=/vm/run systemd.mask=apparmor.service systemd.condition_first_boot=no \
systemd.machine_id=0123456789abcdef0123456789abcdef TERM=dumb"
: >"$work/results"
if [ "$kernel" = uml ]; then
    # shellcheck disable=SC2016 # the inner shell's own variables
    program='exec linux.uml mem=2048M ubd0="$1/cow,/guest/guest.ext4" ubd1="$1/disk.ext4" root=/dev/ubda rw \
        con0=null,fd:1 con=null ssl=null ssl1=null,fd:3 quiet panic=-1 security=apparmor systemd.mount-extra=/dev/ubdb:/vm:ext4 $2 \
        </dev/null >"$1/console" 2>&1 3>>"$1/results"'
else
    # The kernel's timer test panics if the machine is so busy that the emulated timer is late.
    # shellcheck disable=SC2016 # likewise
    program='cd /guest/guest/boot
        exec qemu-system-x86_64 -kernel vmlinuz-* -initrd initrd.img-* -accel "$3" -cpu max,la57=off -smp 2 -m 2048 -nodefaults \
        -no-user-config -display none -nic none -no-reboot \
        -drive "file=/guest/guest.ext4,format=raw,if=virtio,snapshot=on" -drive "file=$1/disk.ext4,format=raw,if=virtio" \
        -serial "file:$1/console" -serial "file:$1/results" -append "console=ttyS0 root=/dev/vda rw quiet panic=-1 no_timer_check \
        mitigations=off systemd.mount-extra=/dev/vdb:/vm:ext4 $2"'
    echo "booting the guest, which takes minutes without VM_ACCEL=kvm (console: build/vm/console.log)"
fi
# The mounts disappear with the namespace. The execs leave a single process, which timeout ends.
# shellcheck disable=SC2016 # the shells' own variables
ROOT=$cache/$host CACHE=$cache WORK=$work timeout "${VM_TIMEOUT:-900}" unshare --mount sh -euc '
    mkdir -p "$ROOT$WORK" "$ROOT/guest"
    mount --bind "$WORK" "$ROOT$WORK"
    mount --bind "$CACHE" "$ROOT/guest"
    mount -t proc proc "$ROOT/proc"
    mount -t tmpfs none "$ROOT/dev/shm" # where User Mode Linux has its memory
    [ ! -e /dev/kvm ] || { touch "$ROOT/dev/kvm"; mount --bind /dev/kvm "$ROOT/dev/kvm"; }
    exec chroot "$ROOT" sh -euc "$@"' sh \
    "$program" sh "$work" "$systemd" "${VM_ACCEL:-tcg,thread=multi}" &
vm=$!
tail --pid="$vm" -n +1 -f "$work/results" &
wait "$vm" || true
vm=""
wait
mkdir -p "$log"
cp "$work/console" "$log/console.log"
[ -s "$work/results" ] || no_guest "it has not booted in ${VM_TIMEOUT:-900} seconds (build/vm/console.log)"
if [ "$(tail -n 1 "$work/results")" != done ]; then
    echo "the guest did not finish within ${VM_TIMEOUT:-900} seconds; build/vm/console.log ends with:" >&2
    tail -n 20 "$log/console.log" >&2
    exit 1
fi
! grep -q '^FAILED' "$work/results"
