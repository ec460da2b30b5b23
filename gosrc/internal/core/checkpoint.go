package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// CreateCheckpoint is Task.CreateCheckpoint. It is seen through: cut off in the middle, containerd's client would leave the
// task paused and CRIU at work on it.
func (c *Core) CreateCheckpoint(ctx context.Context, h uint64, directory string, exit bool) (Result, error) {
	task, p, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	if err := p.container.checkExitOption(exit); err != nil {
		return Result{}, err
	}
	directory = filepath.Clean(directory) // what comes before a ".." is not to be made
	if ctx.Err() != nil {
		return Result{}, task.CreateCheckpoint(ctx, directory, exit) // which refuses in its own words
	}
	return seeThrough(ctx, p.container.client, p.name(), "the checkpoint goes on to its end", func(long context.Context) (Result, error) {
		leave, err := c.checkpoints.enter(ctx, directory)
		if err != nil {
			return Result{}, err
		}
		defer leave()
		return Result{}, checkpoint(long, task, directory, exit)
	}, nil)
}

func checkpoint(ctx context.Context, task libcontainerdtypes.Task, directory string, exit bool) error {
	dir, made, err := prepareCheckpointDir(directory)
	if err != nil {
		return err
	}
	defer dir.Close()
	begun := time.Now()
	err = task.CreateCheckpoint(ctx, directory, exit)
	if err != nil {
		err = withCriuReason(err, begun)
		if cleared := clearCheckpointDir(dir, made); cleared != nil {
			log.G(ctx).WithError(cleared).WithField("directory", directory).Warn("failed to clear up after failed checkpoint")
		}
	}
	return err
}

// prepareCheckpointDir makes the directory as dockerd does before it calls libcontainerd, which finds out too late that
// there is none: with exit the task has ended by then, and its checkpoint is lost. For the same reason it tries to write.
func prepareCheckpointDir(directory string) (dir *os.File, made string, err error) {
	if err := checkDirectory("checkpoint", directory); err != nil {
		return nil, "", err
	}
	dir, err = os.Open(directory)
	if errors.Is(err, fs.ErrNotExist) {
		made = firstMissing(directory)
		if err = os.MkdirAll(directory, 0o700); err == nil {
			dir, err = os.Open(directory)
		}
	}
	var entries []string
	if err == nil {
		entries, err = dir.Readdirnames(-1)
	}
	defer func() {
		if err != nil {
			_ = dir.Close()
			dir = nil
		}
	}()
	if err != nil {
		return dir, "", errors.Join(unusable(directory, err), unmake(directory, made))
	}
	if len(entries) > 0 {
		return dir, "", cerrdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("checkpoint directory %q has files in it, and a checkpoint would mix with them: "+
			"give one that is empty, or that does not exist yet", directory))
	}
	trial, err := os.CreateTemp(directory, ".pyctd-")
	if err != nil {
		return dir, "", unusable(directory, err)
	}
	return dir, made, errors.Join(trial.Close(), os.Remove(trial.Name()))
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

// firstMissing is the directory that has to be made first, for there to be the one asked for.
func firstMissing(directory string) string {
	for {
		parent := filepath.Dir(directory)
		if _, err := os.Lstat(parent); !errors.Is(err, fs.ErrNotExist) {
			return directory
		}
		directory = parent
	}
}

// unmake removes the directories that were made for one, from made down, but none that has got something in it meanwhile.
func unmake(directory, made string) error {
	if made == "" {
		return nil
	}
	for ; directory != made; directory = filepath.Dir(directory) {
		_ = unix.Rmdir(directory) // or else made cannot be removed either
	}
	if err := unix.Rmdir(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clearCheckpointDir removes what a failed checkpoint has left: nothing was there before. It goes by the open directory: by
// its path, who can write to one above could put another directory of root's in its place.
func clearCheckpointDir(dir *os.File, made string) error {
	return errors.Join(emptyDirectory(int(dir.Fd())), unmake(dir.Name(), made))
}

// restorable refuses what is no checkpoint; libcontainerd would upload anything.
func restorable(directory string) error {
	if err := checkDirectory("checkpoint", directory); err != nil {
		return err
	}
	if _, err := os.ReadDir(directory); err != nil {
		return unusable(directory, err)
	}
	if _, err := os.Stat(filepath.Join(directory, "inventory.img")); err != nil {
		return cerrdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("directory %q holds no checkpoint: %s", directory, err))
	}
	return nil
}

// restore is Container.NewTask from a checkpoint, with the directory that containerd leaves of it. There is one at a time
// in a daemon's namespace: libcontainerd puts the checkpoint into containerd's content store, named by the directory and
// kept by its digest, and refuses what is there already. The wait for the others ends with ctx, the restore with long.
func (ctr *Container) restore(ctx, long context.Context, directory string, withStdin bool, stdio libcontainerdtypes.StdioCallback) (_ libcontainerdtypes.Task, unpacked string, err error) {
	daemon, err := ctr.client.daemon.Server(ctx) // by its own id, for a socket may have several paths
	if err != nil {
		return nil, "", err
	}
	leave, err := ctr.client.core.restores.enter(ctx, daemon.UUID+"\x00"+ctr.client.namespace)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	wait, stop := ctr.client.left.expect(ctr.id)
	defer stop()
	task, err := ctr.moby.NewTask(long, directory, withStdin, stdio)
	if err != nil {
		return nil, "", err
	}
	return task, wait(ctr.client.ctx), nil
}

// deleteAtOnce has containerd remove what a deleted image held before it answers. libcontainerd deletes the image of a
// checkpoint only, and what would be left to the garbage collection stands in the way of a restore, which uploads the very
// same bytes.
func deleteAtOnce(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if deletion, ok := request.(*imagesapi.DeleteImageRequest); ok {
		deletion.Sync = true
	}
	return invoke(ctx, method, request, reply, conn, opts...)
}
