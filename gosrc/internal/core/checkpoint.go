package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// CreateCheckpoint is Task.CreateCheckpoint, run to its end: cut off in the middle, containerd's client would leave the task
// paused with CRIU at work on it.
func (c *Core) CreateCheckpoint(ctx context.Context, h uint64, directory string, exit bool) (Result, error) {
	task, p, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	if err := p.container.checkExitOption(exit); err != nil {
		return Result{}, err
	}
	directory = filepath.Clean(directory) // do not create what precedes a ".."
	if ctx.Err() != nil {
		return Result{}, task.CreateCheckpoint(ctx, directory, exit) // libcontainerd refuses in its own words
	}
	return seeThrough(ctx, p.container.client, p.name(), "the checkpoint goes on to its end", func(long context.Context) (Result, error) {
		leave, err := c.checkpoints.enter(ctx, directory)
		if err != nil {
			return Result{}, err
		}
		defer leave()
		// A user who has replaced an engine's state directory also has its socket, and would choose the checkpoint's files.
		if err := checkStateDir(p.container.client.stateDir); err != nil {
			return Result{}, err
		}
		return Result{}, checkpoint(long, task, directory, exit)
	}, nil)
}

func checkpoint(ctx context.Context, task libcontainerdtypes.Task, directory string, exit bool) error {
	place, err := prepareCheckpointDir(directory)
	if err != nil {
		return err
	}
	defer place.close()
	begun := time.Now()
	err = task.CreateCheckpoint(ofAnyLength(ctx), directory, exit)
	if err != nil {
		err = withCriuReason(err, begun)
		if cleared := place.clear(); cleared != nil {
			log.G(ctx).WithError(cleared).WithField("directory", directory).Warn("failed to clear up after failed checkpoint")
		}
	}
	return err
}

// A checkpointDir is the directory of a checkpoint. It is cleared through descriptors: by path, anyone who can write to a
// parent could substitute another of root's directories.
type checkpointDir struct {
	dir  *os.File
	made []newDirectory
}

// A newDirectory was made for a checkpoint.
type newDirectory struct {
	in   *os.File
	name string
}

// prepareCheckpointDir makes the directory, as dockerd does before it calls libcontainerd. libcontainerd itself notices a
// missing directory too late: with exit the task has ended by then, and its checkpoint is lost. For the same reason this tries
// to write.
//
// libcontainerd writes by path and follows links, so a user who can change the directory chooses which of root's files a
// container's memory overwrites.
func prepareCheckpointDir(directory string) (_ *checkpointDir, err error) {
	if err := checkDirectory("checkpoint", directory); err != nil {
		return nil, err
	}
	// Check what exists first, so that nothing is made where another user's link leads.
	if err := checkSafeSoFar("checkpoint", directory); cerrdefs.IsFailedPrecondition(err) {
		return nil, err
	} else if err != nil {
		return nil, unusable(directory, err)
	}
	place := &checkpointDir{}
	defer func() {
		if err != nil {
			err = errors.Join(err, place.unmake())
			place.close()
		}
	}()
	if err := place.open(directory); err != nil {
		return nil, unusable(directory, err)
	}
	if err := checkSafe("checkpoint", directory); err != nil {
		return nil, err
	}
	entries, err := place.dir.Readdirnames(-1)
	if err != nil {
		return nil, unusable(directory, err)
	}
	if len(entries) > 0 {
		return nil, cerrdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("checkpoint directory %q has files in it, and a checkpoint would mix with them: "+
			"give one that is empty, or that does not exist yet", directory))
	}
	trial, err := os.CreateTemp(directory, ".pyctd-")
	if err != nil {
		return nil, unusable(directory, err)
	}
	return place, errors.Join(trial.Close(), os.Remove(trial.Name()))
}

// open opens the directory and makes its missing parts.
func (p *checkpointDir) open(path string) (err error) {
	// Without O_DIRECTORY, opening a FIFO would wait for a writer.
	if p.dir, err = os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := p.open(filepath.Dir(path)); err != nil {
		return err
	}
	in, name := p.dir, filepath.Base(path)
	p.dir = nil
	if err := unix.Mkdirat(int(in.Fd()), name, 0o700); err != nil {
		_ = in.Close()
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	p.made = append(p.made, newDirectory{in, name})
	fd, err := unix.Openat(int(in.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	p.dir = os.NewFile(uintptr(fd), path)
	return nil
}

func (p *checkpointDir) close() {
	_ = p.dir.Close()
	for _, one := range p.made {
		_ = one.in.Close()
	}
}

// clear removes what a failed checkpoint has left. The directory was empty before.
func (p *checkpointDir) clear() error {
	return errors.Join(emptyDirectory(int(p.dir.Fd())), p.unmake())
}

// unmake removes the directories that were made, except those that are no longer empty.
func (p *checkpointDir) unmake() (err error) {
	for _, one := range slices.Backward(p.made) { // if one stays, so do its parents
		if err = unix.Unlinkat(int(one.in.Fd()), one.name, unix.AT_REMOVEDIR); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return err
}

func unusable(directory string, err error) error {
	text := fmt.Sprintf("checkpoint directory %q can't be used: %s", directory, err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return cerrdefs.ErrPermissionDenied.WithMessage(text)
	case errors.Is(err, fs.ErrNotExist):
		return cerrdefs.ErrNotFound.WithMessage(text)
	}
	return cerrdefs.ErrInvalidArgument.WithMessage(text)
}

// restorable refuses a directory without a checkpoint, because libcontainerd would upload anything. It also refuses one that
// another user can change: as root, CRIU does what a checkpoint says.
func restorable(directory string) error {
	if err := checkDirectory("checkpoint", directory); err != nil {
		return err
	}
	if _, err := os.ReadDir(directory); err != nil {
		return unusable(directory, err)
	}
	if err := checkSafe("checkpoint", directory); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(directory, "inventory.img")); err != nil {
		return cerrdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("directory %q holds no checkpoint: %s", directory, err))
	}
	return nil
}

// restore is Container.NewTask from a checkpoint. It also returns the directory that containerd leaves behind. Each namespace
// of a daemon restores one at a time: libcontainerd puts the checkpoint into containerd's content store, named by the directory
// and stored by its digest, and refuses one that is already there. ctx bounds the wait for the others, long the restore.
func (ctr *Container) restore(ctx, long context.Context, directory string, withStdin bool, stdio libcontainerdtypes.StdioCallback) (_ libcontainerdtypes.Task, unpacked string, err error) {
	daemon, err := ctr.client.daemon.Server(ctx) // by its own id, as a socket may have several paths
	if err != nil {
		return nil, "", err
	}
	leave, err := ctr.client.core.restores.enter(ctx, daemon.UUID+"\x00"+ctr.client.namespace)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	home, err := ctr.homeOf(ctx)
	if err != nil {
		return nil, "", err
	}
	if home != "" {
		long = intoCgroup(long, home)
	}
	wait, stop := ctr.client.left.expect(ctr.id)
	defer stop()
	task, err := ctr.moby.NewTask(long, directory, withStdin, stdio)
	if err != nil {
		return nil, "", err
	}
	return task, wait(ctr.client.ctx), nil
}

// deleteAtOnce has containerd remove a deleted image's contents before it answers. libcontainerd deletes only the image of a
// checkpoint. Contents left to the garbage collection would block a restore, which uploads the very same bytes.
func deleteAtOnce(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if deletion, ok := request.(*imagesapi.DeleteImageRequest); ok {
		deletion.Sync = true
	}
	return invoke(ctx, method, request, reply, conn, opts...)
}
