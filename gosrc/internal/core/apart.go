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

// To runc a container is an id below a root directory, and its processes are those in a cgroup. The shim's own root is the
// same for every containerd of a host, and runc names a cgroup after the id alone: the same id in two daemons, and as to
// cgroups in two namespaces, is one container. dockerd therefore sets both for each of its containers, and so does a client,
// where its caller sets none.

const (
	// runcRoots lies in the state directory beside the bundles. No id starts with a dot, so it is never in the way of one.
	runcRoots = ".runc"
	// cgroupParent is the parent of all cgroups by default. They lie below further parents in it: systemd takes controllers
	// away from a cgroup that lies directly in one of its own.
	cgroupParent = "/pyctd"
	// cgroupBusy is ample for the kernel to let go of processes that have been killed.
	cgroupBusy = time.Second
)

// scope is where an id means one container. A daemon alone is not enough: when a program is killed with its engine, the next
// one may find the daemon's root directory but not its state directory, and what it started runs on.
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
		// The sum comes last: runc takes a name that ends with .slice, as an id may, for another kind of unit.
		return "system.slice:pyctd-" + s.namespace + "-" + id + ":" + short
	}
	return filepath.Join(cgroupParent, s.daemon, s.namespace+"-"+short, id)
}

// setApart gives a container a root of runc's and a cgroup that no container of another daemon or namespace has, and the runc of
// its engine.
func (cl *Client) setApart(ctx context.Context, r newContainer) error {
	options, ofRunc := r.runtimeOptions.(*runcoptions.Options)
	if ofRunc && options.BinaryName == "" {
		options.BinaryName = cl.runc
	}
	wantsRoot := ofRunc && options.Root == ""
	// Without root's powers runc can't make the cgroup that it is asked for, but does without one when asked for none.
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

// idOf is a daemon's own id; empty where it does not tell.
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

// removeCgroups removes the parents of a daemon's cgroups, which runc leaves when it removes theirs. One that still has
// processes stays.
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

// removeDirectories removes the directories of a tree whose files go with them. It tells how many are left.
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
