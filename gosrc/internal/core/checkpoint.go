package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"google.golang.org/grpc"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// CreateCheckpoint is Task.CreateCheckpoint. When ctx ends first, it goes on without its caller: cut off in the middle,
// containerd's client would leave the task paused and CRIU at work on it.
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
	leave, err := c.checkpoints.enter(ctx, directory)
	if err != nil {
		return Result{}, err
	}
	_, err = p.container.toTheEnd(ctx, func(ctx context.Context) error {
		defer leave()
		return checkpoint(ctx, task, directory, exit)
	}, leave, func(error) {})
	return Result{}, err
}

// toTheEnd runs work that must not be cut off in its middle, for CRIU is in it. When ctx ends first, the caller is told
// so, abandoned is true, and late gets the outcome. If the client is closed already, only refused runs.
func (ctr *Container) toTheEnd(ctx context.Context, work func(context.Context) error, refused func(), late func(error)) (abandoned bool, err error) {
	done := make(chan error) // unbuffered: the outcome is either the caller's or late's
	gone := make(chan struct{})
	open := ctr.client.use(func() {
		_, err := ctr.client.core.protect(func() (Result, error) { return Result{}, work(context.WithoutCancel(ctx)) })
		select {
		case done <- err:
		case <-gone:
			if err != nil {
				log.G(ctx).WithError(err).WithField("container", ctr.id).Warn("what had run out of time has failed since")
			}
			_, _ = ctr.client.core.protect(func() (Result, error) { late(err); return Result{}, nil })
		}
	})
	if !open {
		refused()
		return false, kind.ErrClosed
	}
	select {
	case err := <-done:
		return false, err
	case <-ctx.Done():
		close(gone)
		return true, ctx.Err()
	}
}

// startTask is Task.Start. A restore is not cut off: runc would be killed, and its container's id stay in use for ever.
func (p *Process) startTask(ctx context.Context, task libcontainerdtypes.Task, late func(error)) (abandoned bool, err error) {
	begun := time.Now()
	started := p.container.client.census.begin(processKey{p.container.id, p.container.id})
	defer func() { started(pidOf(task, err)) }()
	if !p.restores {
		return false, task.Start(ctx)
	}
	return p.container.toTheEnd(ctx, func(ctx context.Context) error {
		return withCriuReason(task.Start(ctx), begun) // before the task is deleted, and its log with it
	}, func() {}, late)
}

func checkpoint(ctx context.Context, task libcontainerdtypes.Task, directory string, exit bool) error {
	made, err := prepareCheckpointDir(directory)
	if err != nil {
		return err
	}
	begun := time.Now()
	ctx, end := withCleanUp(ctx)
	defer end()
	err = task.CreateCheckpoint(ctx, directory, exit)
	if err != nil {
		err = withCriuReason(err, begun)
		if cleared := clearCheckpointDir(directory, made); cleared != nil {
			log.G(ctx).WithError(cleared).WithField("directory", directory).Warn("failed to clear up after failed checkpoint")
		}
	}
	return err
}

// prepareCheckpointDir makes the directory as dockerd does before it calls libcontainerd, which finds out too late that
// there is none: with exit the task has ended by then, and its checkpoint is lost. For the same reason it tries to write.
func prepareCheckpointDir(directory string) (made string, err error) {
	if err := checkDirectory("checkpoint", directory); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		made = firstMissing(directory)
		err = os.MkdirAll(directory, 0o700)
	}
	if err != nil {
		return "", errors.Join(unusable(directory, err), unmake(directory, made))
	}
	if len(entries) > 0 {
		return "", cerrdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("checkpoint directory %q has files in it, and a checkpoint would mix with them: "+
			"give one that is empty, or that does not exist yet", directory))
	}
	trial, err := os.CreateTemp(directory, ".pyctd-")
	if err != nil {
		return "", unusable(directory, err)
	}
	return made, errors.Join(trial.Close(), os.Remove(trial.Name()))
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
		_ = os.Remove(directory) // or else made cannot be removed either
	}
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clearCheckpointDir removes what a failed checkpoint has left: nothing was there before.
func clearCheckpointDir(directory, made string) error {
	entries, err := os.ReadDir(directory)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(directory, entry.Name())))
	}
	return errors.Join(err, unmake(directory, made))
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

// newTask is Container.NewTask, with the directory that containerd leaves of a restore. From a checkpoint there is one
// at a time in a namespace: libcontainerd puts the checkpoint into containerd's content store for it, named by the
// directory and kept by its digest, and refuses what is there already.
func (ctr *Container) newTask(ctx context.Context, checkpointDir string, withStdin bool, stdio libcontainerdtypes.StdioCallback) (_ libcontainerdtypes.Task, unpacked string, err error) {
	if checkpointDir == "" {
		task, err := ctr.moby.NewTask(ctx, "", withStdin, stdio)
		return task, "", err
	}
	if err := restorable(checkpointDir); err != nil {
		return nil, "", err
	}
	leave, err := ctr.client.core.restores.enter(ctx, ctr.client.place)
	if err != nil {
		return nil, "", err
	}
	inside := true
	defer func() {
		if inside {
			leave()
		}
	}()
	wait, stop := ctr.client.left.expect(ctr.id)
	defer stop()
	marked, end := withCleanUp(ctx)
	task, err := ctr.moby.NewTask(marked, checkpointDir, withStdin, stdio)
	end()
	if err == nil {
		return task, wait(ctr.client.ctx), nil
	}
	if ended := ctx.Err(); ended != nil {
		// An upload that was broken off would be continued by the next one, from its beginning: that waits for the end of
		// this one, which the caller need not.
		inside = !ctr.client.use(func() {
			defer leave()
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
			defer cancel()
			_ = ctr.client.daemon.ContentStore().Abort(clean, checkpointDir)
		})
		if k := kind.Of(err); k == kind.Unknown || k == kind.Canceled {
			err = fmt.Errorf("%s: %w", err, ended) // a stream that breaks, or that upload broke, does not say why
		}
	}
	return nil, "", err
}

// cleanUpTimeout bounds what must be done after a context has ended.
const cleanUpTimeout = 30 * time.Second

// lastMoment is how long an upload may go on when its context has ended: ample for what is on its way then.
const lastMoment = 2 * time.Second

type cleanUpKey struct{}

// withCleanUp marks the context of a call of libcontainerd that stores a checkpoint in containerd, for cleanUp and
// upload. What these keep alive ends with end.
func withCleanUp(ctx context.Context) (marked context.Context, end context.CancelFunc) {
	long, end := context.WithCancel(context.WithoutCancel(ctx))
	return context.WithValue(ctx, cleanUpKey{}, long), end
}

// outlive gives a context that goes on when a marked one has ended, until cancel or the mark's end.
func outlive(ctx context.Context) (_ context.Context, cancel context.CancelFunc, marked bool) {
	long, marked := ctx.Value(cleanUpKey{}).(context.Context)
	if !marked {
		return ctx, nil, false
	}
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(long, cancel)
	return out, cancel, true
}

// cleanUp lets libcontainerd remove the checkpoints that it has put into containerd. It does so with the caller's
// context, which may have ended; and what it leaves to containerd's garbage collection is still there for a while, in
// the way of a restore, which uploads the very same bytes.
func cleanUp(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	deletes := false
	if long, _, marked := outlive(ctx); marked {
		switch request := request.(type) {
		case *imagesapi.DeleteImageRequest:
			deletes, request.Sync = true, true
		case *contentapi.DeleteContentRequest:
			deletes = true
		}
		if deletes {
			clean, cancel := context.WithTimeout(long, cleanUpTimeout)
			defer cancel()
			ctx = clean
		}
	}
	return invoke(ctx, method, request, reply, conn, opts...)
}

// upload lets an upload of a checkpoint come to its end when the context ends in its last moment: libcontainerd would
// take it for failed and not remove it, and containerd would keep it for ever. When the context ends earlier, there is
// nothing more to send, and a daemon that does not answer is not waited for.
func upload(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if method == "/containerd.services.content.v1.Content/Write" {
		if long, cancel, marked := outlive(ctx); marked {
			context.AfterFunc(ctx, func() { time.AfterFunc(lastMoment, cancel) })
			ctx = long
		}
	}
	return streamer(ctx, desc, conn, method, opts...)
}
