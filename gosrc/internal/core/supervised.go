package core

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/log"
	"github.com/docker/docker/libcontainerd/supervisor"
	"golang.org/x/sys/unix"
)

// What moby's supervisor leaves open: which containerd it starts, and which process it takes for that.

// newLauncher makes what the supervisor executes: a script that runs containerd with a PATH of its own, in the root directory.
// The supervisor would pass on this process's PATH and working directory. But Go's environment can't be changed without C's,
// which other threads may be reading; and containerd prefers a shim in its working directory, which for this process may be one
// that everybody can write to. The umask is dockerd's: with none, containerd lets everybody write to the specs in its bundles,
// hooks included. The script is in memory, since any directory may be mounted noexec.
//
// The sysctl vm.memfd_noexec may forbid that; the script is then an unnamed file in the engine's own directory.
func newLauncher(program, path, directory string) (*os.File, error) {
	const executable = 0x10 // MFD_EXEC, of Linux 6.3
	fd, err := unix.MemfdCreate("containerd", unix.MFD_CLOEXEC|executable)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("containerd", unix.MFD_CLOEXEC)
	}
	if errors.Is(err, unix.EACCES) {
		fd, err = unix.Open(directory, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to make what starts containerd: %w", err)
	}
	writer := os.NewFile(uintptr(fd), "containerd")
	defer writer.Close() // a file open for writing can't be executed
	if _, err := fmt.Fprintf(writer, "#!/bin/sh\ncd / && umask 022 && export PATH=%s && exec %s \"$@\"\n", quoted(path), quoted(program)); err != nil {
		return nil, err
	}
	if err := unix.Access(descriptor(fd), unix.X_OK); err != nil {
		return nil, refused("nothing can be made that starts containerd: the sysctl vm.memfd_noexec is 2, and no file in %q may be executed", directory)
	}
	return os.Open(descriptor(fd))
}

// descriptor is the path of an open file.
func descriptor(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// startedBy adds two things to an option of the supervisor: it executes launcher, and made gets its Daemon before it starts
// anything. If a start fails or is given up, the supervisor returns no Daemon.
func startedBy[R supervisor.Daemon](launcher *os.File, made chan<- supervisor.Daemon, option func(R) error) func(R) error {
	return func(daemon R) error {
		made <- daemon
		// The number is this process's: the shell reopens its script by this name, and inherits no descriptor.
		*own[string](daemon, "daemonPath") = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), launcher.Fd())
		*own[map[string]string](daemon, "Timeouts") = map[string]string{"io.containerd.timeout.shim.cleanup": shimDeleteTimeout.String()}
		// Its plugin "opt" would put /opt/containerd/bin before the engine's PATH, for the shim and for runc.
		*own[[]string](daemon, "DisabledPlugins") = []string{"io.containerd.internal.v1.opt"}
		return option(daemon)
	}
}

// own is one of the supervisor's unexported fields.
func own[T any](daemon supervisor.Daemon, name string) *T {
	return (*T)(reflect.ValueOf(daemon).Elem().FieldByName(name).Addr().UnsafePointer())
}

// checkProc refuses a /proc of another pid namespace, where this process's number belongs to another process.
func checkProc() error {
	if readLink(unix.AT_FDCWD, "/proc/self") != strconv.Itoa(os.Getpid()) {
		return refused("/proc is another pid namespace's: mount it for this one (unshare --mount-proc)")
	}
	return nil
}

var (
	errEnded    = errors.New("containerd has ended")
	errStranger = errors.New("containerd's number is another process's")
)

func (e *Engine) pidFile() string { return filepath.Join(e.state, "containerd.pid") }

// process returns the daemon that the supervisor started last.
func (e *Engine) process() (peer, error) {
	if err := checkOwned("state", e.state); err != nil { // another user's file may be a FIFO, which never ends
		return peer{}, err
	}
	text, err := os.ReadFile(e.pidFile())
	if err != nil {
		return peer{}, errEnded
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return peer{}, errEnded
	}
	p, err := openPeer(pid)
	if err != nil {
		return peer{}, errEnded
	}
	mine := e.isDaemon(p) // ask first: if it ends meanwhile, the answer is useless
	switch {
	case p.ended(0):
		err = errEnded
	case !mine:
		err = errStranger
	}
	if err != nil {
		p.close()
	}
	return p, err
}

// isDaemon reports whether a process is a containerd of this engine. It may have its own mount namespace: the containerd on
// PATH may be a script that makes one.
func (e *Engine) isDaemon(p peer) bool { return p.privileged("ns/user", "ns/pid") && e.configures(p) }

func (e *Engine) configures(p peer) bool {
	return p.argument("--config") == filepath.Join(e.state, "containerd.toml")
}

// forgetStranger removes the number of a daemon that has ended. The supervisor would take any process that has reused the
// number for its daemon, and kill it because it does not serve. It reports whether a daemon runs, perhaps an earlier program's.
func (e *Engine) forgetStranger() (runs bool) {
	p, err := e.process()
	if err != nil {
		_ = os.Remove(e.pidFile())
		return false
	}
	p.close()
	return true
}

// endChildren ends the daemons that the supervisor has started.
func (e *Engine) endChildren() (failed error) {
	for p := range peers() {
		// This process may also have adopted others' processes, as pid 1 of a container does.
		if p.parent() == os.Getpid() && e.isDaemon(p) {
			failed = errors.Join(failed, e.endDaemon(p))
		}
	}
	return failed
}

// endDaemon ends a process of the engine's containerd. It fails on Linux before 5.1. If the state directory is no longer safe
// it kills: a containerd that stops by itself removes its sockets by name, which may lead to another user's directory.
func (e *Engine) endDaemon(p peer) error {
	number := unix.SIGTERM
	if checkOwned("state", e.state) != nil {
		number = unix.SIGKILL
	}
	err := p.signal(number)
	if err == nil && !p.gone(daemonTimeout) {
		log.L.WithField("pid", p.pid).Warn("containerd does not stop and is killed")
		err = p.signal(unix.SIGKILL)
		p.gone(time.Second)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// noProcess is a number that no process has. To the supervisor, -1 means a daemon yet to be started, and killing -1 kills
// everything.
const noProcess = math.MaxInt32

// disarm keeps a supervisor whose daemon has ended from doing harm when it ends itself: it would signal the daemon's number,
// which another process may have by then, and remove files by names that may lead to another user's directory. It may be
// reading those names right now, so each is replaced by one of the same length.
//
//go:norace
func (e *Engine) disarm(daemon supervisor.Daemon) {
	*own[int](daemon, "daemonPid") = noProcess
	if checkOwned("state", e.state) != nil {
		for _, name := range []*string{own[string](daemon, "pidFile"), &own[config.GRPCConfig](daemon, "GRPC").Address} {
			*name = fmt.Sprintf("%-*s", len(*name), "/dev/null/") // contains nothing
		}
	}
}
