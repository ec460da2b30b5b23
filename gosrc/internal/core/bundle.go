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

// libcontainerd makes, fills and removes whatever a container's label says is its bundle, and follows symbolic links. The
// label is containerd's to keep, where anybody with its socket may write it, and a link may have been planted: neither
// may lead it out of its state directory.

// bundle is a container's directory before libcontainerd makes it. It makes it before containerd looks at the container,
// and leaves it when containerd then refuses.
type bundle struct {
	path   string
	exists bool
}

func (cl *Client) bundlePath(id string) string { return filepath.Join(cl.stateDir, id) }

// enterBundle lets one call at a time make or remove the bundle of a container. Without it a call that is refused, or a
// delete that is about to end, takes away the bundle of the container that another call has just made.
func (cl *Client) enterBundle(ctx context.Context, id string) (leave func(), err error) {
	return cl.core.bundles.enter(ctx, cl.bundlePath(id))
}

func newBundle(path string) bundle {
	_, err := os.Lstat(path)
	return bundle{path, err == nil}
}

// remove takes away a directory that is new and empty: one with anything in it is somebody's.
func (b bundle) remove() {
	if !b.exists {
		_ = os.Remove(b.path)
	}
}

type bundleKey struct{}

// bundleOf is where noteBundle puts what it learns.
type bundleOf struct {
	id, path string
	strict   bool  // whether the bundle of a container that is there already is going to be removed
	refused  error // that it is not; libcontainerd keeps but the text of it
}

// noteBundle tells which bundle a container has, which libcontainerd keeps to itself.
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

// checkBundle refuses a label that libcontainerd can't have written: it names a bundle for its container, and for a user
// namespace for the user and group of its root, too. It also refuses a bundle in a directory that is not safe.
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

// checkBundle is the function of that name for this container. It also refuses a client whose state directory has become
// another user's: that user has the engine's socket, too, and chooses the labels.
func (ctr *Container) checkBundle() error {
	return errors.Join(checkStateDir(ctr.client.stateDir), checkBundle(ctr.id, ctr.bundle))
}

// checkFIFOs refuses a place for a process's FIFOs where something else is: its streams would go there.
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

// checkStateDir refuses a directory of bundles that another user could change. It is called before each use: what cleans
// /tmp up removes old directories, and then another user can make one of that name.
func checkStateDir(path string) error { return checkSafe("state", path) }

// checkSafe is checkOwned for root. Other users can't reach a daemon that acts as root on their directories.
func checkSafe(what, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return checkOwned(what, path)
}

// checkSafeSoFar is checkSafe for as much of a path as exists. Whoever makes the rest has to check it then.
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

// checkNewBundle looks at the places where libcontainerd may put the bundle of a container. For a user namespace it gives
// what is there to its root, and follows links.
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
// one beside the first directory in which that root is stopped, give it to that root, and go on in it as root. A user who
// can write there could choose, by a link, which directory of the host becomes that root's.
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

// rootOf is the id that root has on the host, as libcontainerd reads a mapping.
func rootOf(mappings []specs.LinuxIDMapping) uint32 {
	for _, m := range mappings {
		if m.ContainerID == 0 {
			return m.HostID
		}
	}
	return 0
}
