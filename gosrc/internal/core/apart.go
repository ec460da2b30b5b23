package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/docker/docker/pkg/rootless"
)

// runc identifies a container by its id below a root directory, and its processes by their cgroup. All containerds of a host
// share the shim's default root, and runc names a cgroup after the id alone. So the same id in two daemons is one container;
// their cgroups clash even between two namespaces. dockerd therefore sets both for each of its containers, and so does a client
// unless its caller does.

const (
	// runcRoots lies in the state directory beside the bundles. No id starts with a dot, so it can't clash with one.
	runcRoots = ".runc"
	// cgroupParent is the default parent of all cgroups. They lie below further parents in it: systemd takes controllers away
	// from a cgroup directly inside one of its own.
	cgroupParent = "/pyctd"
	// cgroupBusy gives the kernel ample time to release killed processes.
	cgroupBusy = time.Second
)

// scope is where an id names exactly one container. The daemon alone does not suffice: when a program is killed with its
// engine, the next one may find the daemon's root directory but not its state directory, while what it started still runs.
type scope struct {
	daemon    string // containerd's own id, which it keeps in its root directory; its socket may have several paths
	stateDir  string
	namespace string
}

// runcRoot is dockerd's <exec root>/runtime-runc. The shim adds the namespace to it.
func (s scope) runcRoot() string { return filepath.Join(s.stateDir, runcRoots, s.daemon) }

// cgroup is dockerd's /docker/<id>, or with systemd's driver its system.slice:docker:<id>.
func (s scope) cgroup(id string, systemd bool) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{s.daemon, filepath.Clean(s.stateDir), s.namespace}, "\x00")))
	short := hex.EncodeToString(sum[:6])
	if systemd {
		// The sum comes last: an id may end with .slice, and runc takes such a name for another kind of unit.
		return "system.slice:pyctd-" + s.namespace + "-" + id + ":" + short
	}
	return filepath.Join(cgroupParent, s.daemon, s.namespace+"-"+short, id)
}

// setApart gives a container a runc root and a cgroup that no other daemon or namespace uses, and its engine's runc.
func (cl *Client) setApart(ctx context.Context, r newContainer) error {
	options, ofRunc := r.runtimeOptions.(*runcoptions.Options)
	if ofRunc && options.BinaryName == "" {
		options.BinaryName = cl.runc
	}
	wantsRoot := ofRunc && options.Root == ""
	// A rootless runc can't make a cgroup that it is asked for, but does without one when asked for none.
	wantsCgroup := r.spec.Linux.CgroupsPath == "" && !rootless.RunningWithRootlessKit()
	if !wantsRoot && !wantsCgroup {
		return nil
	}
	daemon, err := cl.daemon.Server(ctx)
	if err != nil {
		return err
	}
	s := scope{daemon.UUID, cl.stateDir, cl.namespace}
	if wantsRoot {
		options.Root = s.runcRoot()
	}
	if wantsCgroup {
		r.spec.Linux.CgroupsPath = s.cgroup(r.ID, ofRunc && options.SystemdCgroup)
	}
	return nil
}

// idOf returns a daemon's own id, or the empty string if that fails.
func idOf(ctx context.Context, address string) string {
	daemon, err := connect(ctx, address)
	if err != nil {
		return ""
	}
	defer daemon.Close()
	server, err := daemon.Server(ctx)
	if err != nil {
		return ""
	}
	return server.UUID
}

// removeCgroups removes the parents of a daemon's cgroups, which runc leaves behind. One that still has processes stays.
func removeCgroups(daemon string) {
	if daemon == "" {
		return
	}
	for end := time.Now().Add(cgroupBusy); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} { // v2's, and v1's
			trees, _ := filepath.Glob(filepath.Join(hierarchy, cgroupParent, daemon))
			for _, tree := range trees {
				left += removeDirectories(tree)
			}
		}
		if left == 0 || time.Now().After(end) {
			return
		}
	}
}

// removeDirectories removes a cgroup tree, whose files vanish with their directories. It returns how many directories are left.
func removeDirectories(tree string) (left int) {
	var directories []string
	_ = filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			directories = append(directories, path)
		}
		return nil
	})
	for _, directory := range slices.Backward(directories) {
		if os.Remove(directory) != nil {
			left++
		}
	}
	return left
}
