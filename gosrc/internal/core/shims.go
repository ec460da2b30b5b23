package core

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/log"
)

// A shim is a process of containerd's that outlives it, and the container's directory of containerd's that it runs in, if
// that is still there.
type shim struct {
	pid                            int
	program, namespace, id, bundle string
}

// shimDeleteTimeout is what containerd itself gives a shim to clean up after a dead one.
const shimDeleteTimeout = 10 * time.Second

// endShims ends the shims of a daemon that has ended for good. After a clean end there are none: all tasks are deleted.
// But a daemon that is killed while it starts a shim leaves one that no later daemon knows of, or has a task for.
func endShims(address string) {
	for range 3 { // one that is only starting the other is found before that
		shims := shimsOf(address)
		for _, one := range shims {
			log.L.WithField("pid", one.pid).WithField("container", one.id).Warn("a shim has outlived its containerd: killed")
			_ = syscall.Kill(one.pid, syscall.SIGKILL)
		}
		for _, one := range shims {
			one.clean(address)
		}
		if len(shims) == 0 {
			return
		}
	}
}

// shimsOf finds the shims of the daemon at address by their command lines.
func shimsOf(address string) (shims []shim) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		data, err := os.ReadFile(line)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(string(data), "\x00")
		if !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") || argument(args, "-address") != address {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(line)))
		if err != nil {
			continue
		}
		one := shim{pid, args[0], argument(args, "-namespace"), argument(args, "-id"), ""}
		// containerd deletes the directory but not the shim when a start is cut off at the wrong moment.
		if bundle, err := os.Readlink(filepath.Join(filepath.Dir(line), "cwd")); err == nil && filepath.Base(bundle) == one.id {
			one.bundle = bundle
		}
		shims = append(shims, one)
	}
	return shims
}

func argument(args []string, name string) string {
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// clean does what containerd does after a dead shim: it has another one delete what the first has made.
func (s shim) clean(address string) {
	if _, err := os.Stat(s.bundle); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), shimDeleteTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, "-namespace", s.namespace, "-id", s.id, "-address", address, "-bundle", s.bundle, "delete")
	cmd.Dir = s.bundle
	if out, err := cmd.CombinedOutput(); err != nil {
		log.L.WithError(err).WithField("container", s.id).WithField("output", string(out)).Warn("failed to clean up after a shim")
	}
	_ = os.RemoveAll(s.bundle)
}
