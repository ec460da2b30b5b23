package core

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// A shim outlives its containerd. A clean end leaves none, as all tasks are deleted, except a hung shim, and one whose
// containerd was killed while starting it. No later containerd knows the latter.
//
// Anyone can start a process with a shim's command line. A process counts as a shim only if no other user and no container can
// have made it, and its command line only says which containerd it belongs to. What to clean up, and with which program, comes
// from the engine's own directories.

// shimName is containerd's program for its runtime io.containerd.runc.v2.
const shimName = "containerd-shim-runc-v2"

// shimDeleteTimeout bounds the clean-up after a dead shim: runc alone waits up to ten seconds for the processes that it kills.
// containerd gives up after five, which a busy machine exceeds. runc then still has the container, its processes run on, and
// the next start with that id fails.
const shimDeleteTimeout = 30 * time.Second

// tasksDirectory is where containerd keeps bundles in its state directory, and working directories in its root.
const tasksDirectory = "daemon/io.containerd.runtime.v2.task"

// endShims ends the shims of a daemon that has ended for good, and what ran under them.
func (e *Engine) endShims() {
	bundles := e.shimBundles()
	programs := []string{e.shim}
	for _, b := range bundles {
		programs = append(programs, b.program)
	}
	for i, program := range programs {
		if real, err := filepath.EvalSymlinks(program); err == nil {
			programs[i] = real
		}
	}
	for range 3 { // a shim may be starting another, which only the next round finds
		if !e.killShims(programs) {
			break
		}
	}
	e.clean(context.Background(), bundles)
}

// cleanUpDead cleans up after the shims that died while no daemon ran. The daemon would do that on startup, one after the
// other, and the supervisor gives it only fifteen seconds to serve.
func (e *Engine) cleanUpDead(ctx context.Context) {
	e.clean(ctx, slices.DeleteFunc(e.shimBundles(), func(b shimBundle) bool { return !b.dead(e) }))
}

func (e *Engine) clean(ctx context.Context, bundles []shimBundle) {
	var group sync.WaitGroup
	turns := make(chan struct{}, removesAtOnce)
	for _, b := range bundles {
		turns <- struct{}{}
		spawnIn(&group, func() {
			defer func() { <-turns }()
			b.clean(ctx, e)
		})
	}
	group.Wait()
}

// killShims kills the engine's shims, and reports whether there were any.
func (e *Engine) killShims(programs []string) (found bool) {
	for p := range peers() {
		if !p.trusted() || !slices.Contains(programs, p.program()) || p.argument("-address") != e.address {
			continue
		}
		entry := log.L.WithField("pid", p.pid).WithField("container", p.argument("-id"))
		if err := p.signal(unix.SIGKILL); err != nil {
			entry.WithError(err).Warn("failed to kill a shim that has outlived its containerd")
			continue
		}
		p.ended(time.Second)
		entry.Warn("killed a shim that has outlived its containerd")
		found = true
	}
	return found
}

// findShim finds the shim that containerd uses by default where containerd finds it: on its PATH, or else beside it.
func findShim(path, containerd string) string {
	dirs := filepath.SplitList(path)
	if real, err := filepath.EvalSymlinks(containerd); err == nil {
		dirs = append(dirs, filepath.Dir(real))
	}
	found, _ := findProgram(shimName, dirs)
	return found
}

// findProgram looks a program up in directories. It skips relative ones, which depend on the current working directory.
func findProgram(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		if filepath.IsAbs(dir) {
			if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return found, nil
			}
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// A shimBundle is the directory that containerd makes for a task.
type shimBundle struct{ namespace, id, program string }

// shimBundles finds the bundles that the engine's containerd has left.
func (e *Engine) shimBundles() (found []shimBundle) {
	if err := checkOwned("state", e.state); err != nil {
		log.L.WithError(err).Warn("failed to look for what shims have left")
		return nil
	}
	top := filepath.Join(e.state, tasksDirectory)
	for _, namespace := range identifiersIn(top) {
		for _, id := range identifiersIn(filepath.Join(top, namespace)) {
			// containerd records there which program the shim is.
			b := shimBundle{namespace, id, e.shim}
			if program, err := b.read(e, "shim-binary-path"); err == nil && filepath.IsAbs(string(program)) {
				b.program = string(program)
			}
			found = append(found, b)
		}
	}
	return found
}

// identifiersIn lists the directories whose names are valid for namespaces and tasks.
func identifiersIn(dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.L.WithError(err).Warn("failed to look for what shims have left")
	}
	for _, entry := range entries {
		if entry.IsDir() && identifiers.Validate(entry.Name()) == nil {
			names = append(names, entry.Name())
		}
	}
	return names
}

// below is its path relative to the engine's state directory and to its root.
func (b shimBundle) below() string {
	return filepath.Join(tasksDirectory, b.namespace, b.id)
}

func (b shimBundle) path(e *Engine) string {
	return filepath.Join(e.state, b.below())
}

// maxShimFile is ample for a path and what containerd writes beside it.
const maxShimFile = 64 << 10

// read reads the beginning of a file that containerd or the shim has written. containerd 2.1.4 lets everybody who may enter the
// bundle write to some of them.
func (b shimBundle) read(e *Engine, name string) ([]byte, error) {
	file, err := os.Open(filepath.Join(b.path(e), name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxShimFile))
}

// dead reports whether nobody listens on a shim's socket. A shim whose containerd was killed while starting it may have no
// socket yet, and several tasks may share one.
func (b shimBundle) dead(e *Engine) bool {
	var shim struct{ Address string }
	text, err := b.read(e, "bootstrap.json") // since containerd 1.7
	if err == nil {
		err = json.Unmarshal(text, &shim)
	} else if text, err = b.read(e, "address"); err == nil {
		shim.Address = string(text)
	}
	socket, isPath := strings.CutPrefix(shim.Address, "unix://")
	if err != nil || !isPath {
		return false
	}
	conn, err := net.Dial("unix", socket)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)
}

// clean does what containerd does after a dead shim: it has another shim delete what the first has made. Whatever is left when
// that takes too long is removed anyway, because containerd would only retry in vain. If ctx ends first, it stays.
func (b shimBundle) clean(ctx context.Context, e *Engine) {
	entry := log.L.WithField("container", b.id).WithField("namespace", b.namespace)
	// Earlier bundles may have taken a while.
	if err := checkOwned("state", e.state); err != nil {
		entry.WithError(err).Warn("failed to clean up after a shim")
		return
	}
	path := b.path(e)
	short, cancel := context.WithTimeout(ctx, shimDeleteTimeout)
	defer cancel()
	cmd := exec.CommandContext(short, b.program, "-namespace", b.namespace, "-id", b.id, "-address", e.address, "-bundle", path, "delete")
	cmd.Dir = path
	cmd.WaitDelay = time.Second // a runc that hangs keeps its end of the output open when its shim is killed
	cmd.Env = append(os.Environ(), "PATH="+e.path)
	if out, err := cmd.CombinedOutput(); err != nil {
		entry.WithError(err).WithField("output", strings.TrimSpace(string(out))).Warn("failed to clean up after a shim")
	}
	if ctx.Err() != nil {
		return
	}
	if err := errors.Join(removeFrom("state", e.state, b.below()), removeFrom("root", e.root, b.below())); err != nil {
		entry.WithError(err).Warn("failed to remove what a shim has left")
	}
}
