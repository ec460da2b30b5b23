package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/libcontainerd/remote"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc"
)

// libcontainerd makes, fills and removes the bundle that a container's label names, and follows symbolic links. containerd
// stores the label, so anyone with access to its socket may write it, and a link may have been planted. Neither may lead
// libcontainerd out of its state directory.

// bundle is a container's directory before libcontainerd makes it, which happens before containerd looks at the container.
// libcontainerd leaves the directory behind if containerd then refuses.
type bundle struct {
	path   string
	exists bool
}

func (cl *Client) bundlePath(id string) string { return filepath.Join(cl.stateDir, id) }

// enterBundle lets one call at a time make or remove a container's bundle. Otherwise a refused call, or a delete about to end,
// would remove the bundle of the container that another call has just made.
func (cl *Client) enterBundle(ctx context.Context, id string) (leave func(), err error) {
	return cl.core.bundles.enter(ctx, cl.bundlePath(id))
}

func newBundle(path string) bundle {
	_, err := os.Lstat(path)
	return bundle{path, err == nil}
}

// remove removes a directory that is new and empty: contents would be somebody's.
func (b bundle) remove() {
	if !b.exists {
		_ = os.Remove(b.path)
	}
}

type bundleKey struct{}

// bundleOf receives what noteBundle learns.
type bundleOf struct {
	id, path string
	strict   bool  // whether an existing container's bundle is going to be removed
	refused  error // why it may not be removed; libcontainerd keeps only its text
}

// noteBundle records a container's bundle, which libcontainerd does not expose.
func noteBundle(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, request, reply, conn, opts...)
	into, asked := ctx.Value(bundleKey{}).(*bundleOf)
	if err != nil || !asked {
		return err
	}
	switch reply := reply.(type) {
	case *containersapi.GetContainerResponse:
		into.path = reply.GetContainer().GetLabels()[remote.DockerContainerBundlePath]
		if into.strict && into.path != "" {
			into.refused = checkBundle(into.id, into.path)
			return into.refused
		}
	case *containersapi.CreateContainerResponse:
		into.path = reply.GetContainer().GetLabels()[remote.DockerContainerBundlePath]
	}
	return nil
}

func withBundle(ctx context.Context, into *bundleOf) context.Context {
	return context.WithValue(ctx, bundleKey{}, into)
}

var userSuffix = regexp.MustCompile(`^\.[0-9]+\.[0-9]+$`)

// checkBundle refuses a label that libcontainerd can't have written: it names a bundle after its container, plus the uid and
// gid of the root of a user namespace. It also refuses a bundle in an unsafe directory.
func checkBundle(id, path string) error {
	suffix, named := strings.CutPrefix(filepath.Base(path), id)
	if filepath.IsAbs(path) && filepath.Clean(path) == path && named && (suffix == "" || userSuffix.MatchString(suffix)) {
		return checkStateDir(filepath.Dir(path))
	}
	return refused("the label %s of container %q says that its bundle is %q, which libcontainerd has not made", remote.DockerContainerBundlePath, id, path)
}

func refused(format string, args ...any) error {
	return cerrdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(format, args...))
}

// checkBundle applies the function of that name to this container. It also refuses a client whose state directory has become
// another user's: that user also has the engine's socket, and so chooses the labels.
func (ctr *Container) checkBundle() error {
	return errors.Join(checkStateDir(ctr.client.stateDir), checkBundle(ctr.id, ctr.bundle))
}

// checkFIFOs refuses a path for a process's FIFOs where something else exists: the streams would go there.
func (ctr *Container) checkFIFOs(process string) error {
	if err := ctr.checkBundle(); err != nil {
		return err
	}
	if err := checkNoLink(ctr.bundle); err != nil {
		return err
	}
	for _, stream := range []string{"stdin", "stdout", "stderr"} {
		path := filepath.Join(ctr.bundle, process+"-"+stream)
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeNamedPipe {
			return refused("%q is there already and no FIFO", path)
		}
	}
	return nil
}

// checkStateDir refuses a directory of bundles that another user could change. Check before each use: a cleaner of /tmp removes
// old directories, and another user can then recreate one under that name.
func checkStateDir(path string) error { return checkSafe("state", path) }

// checkSafe is checkOwned for root. A daemon that acts as root on other users' directories is out of their reach.
func checkSafe(what, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return checkOwned(what, path)
}

// checkSafeSoFar is checkSafe for as much of a path as exists. The caller must check the rest after making it.
func checkSafeSoFar(what, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return walkOwned(what, filepath.Clean(path), func(string) error { return nil })
}

func checkNoLink(path string) error {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSymlink {
		return refused("the bundle %q is a symbolic link", path)
	}
	return nil
}

// checkNewBundle checks the paths where libcontainerd may put a container's bundle. For a user namespace libcontainerd gives
// what is there to the namespace's root, and follows links.
func checkNewBundle(path string, spec *specs.Spec) error {
	if err := errors.Join(checkStateDir(filepath.Dir(path)), checkNoLink(path)); err != nil {
		return err
	}
	uid, gid := rootOf(spec.Linux.UIDMappings), rootOf(spec.Linux.GIDMappings)
	if uid == 0 && gid == 0 {
		return nil
	}
	if err := checkNoLink(fmt.Sprintf("%s.%d.%d", path, uid, gid)); err != nil {
		return err
	}
	if err := user.MkdirAllAndChown(filepath.Dir(path), 0o711, 0, 0, user.WithOnlyNew); err != nil {
		return err
	}
	return checkEnterable(filepath.Dir(path))
}

// checkEnterable refuses a state directory that the root of a user namespace may not enter. libcontainerd would make another
// one beside the first directory that stops this root, give it to this root, and continue there as root. A user who can write
// there could then choose, with a link, which host directory becomes this root's.
func checkEnterable(directory string) error {
	for path := directory; path != "/"; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return refused("the root of the user namespace may not enter %q, which is on the way to its bundle: "+
				"allow others to (chmod o+x), or choose another state directory", path)
		}
	}
	return nil
}

// rootOf returns the id that root has on the host, reading a mapping as libcontainerd does.
func rootOf(mappings []specs.LinuxIDMapping) uint32 {
	for _, m := range mappings {
		if m.ContainerID == 0 {
			return m.HostID
		}
	}
	return 0
}
