package core

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/containerd/containerd/v2/plugins"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// A Container is a libcontainerd container and the client that it came from.
type Container struct {
	client *Client
	id     string
	moby   libcontainerdtypes.Container
	bundle string // from its label; empty if there is none
	exits  bool   // whether libcontainerd has runc's options for it, without which it ignores a checkpoint's exit

	unanswered atomic.Bool // whether a Delete was cut off, although containerd may have done it
}

func (c *Core) container(h uint64) (*Container, error) {
	ctr, err := handle.Get[*Container](&c.handles, h)
	if err != nil {
		return nil, err
	}
	return ctr, ctr.client.check()
}

// NewTask is Container.NewTask; with start it is libcontainerd's former Container.Start.
func (c *Core) NewTask(ctx context.Context, h uint64, checkpointDir string, withStdin bool, stdioCookie uint64, start bool) (Result, error) {
	ctr, err := c.container(h)
	if err != nil {
		return Result{}, err
	}
	key := processName{ctr.id, ctr.id}
	if err := ctr.client.undone(ctx, key); err != nil {
		return Result{}, err
	}
	if err := ctr.checkFIFOs(ctr.id); err != nil {
		return Result{}, err
	}
	if checkpointDir != "" {
		if err := restorable(checkpointDir); err != nil {
			return Result{}, err
		}
	}
	fate := fmt.Sprintf("the start of container %q is undone in the background", ctr.id)
	p, err := seeThrough(ctx, ctr.client, key, fate, func(long context.Context) (*Process, error) {
		p, err := ctr.newTask(ctx, long, checkpointDir, withStdin, stdioCookie)
		if err != nil || !start {
			return p, err
		}
		if err := p.start(long); err != nil {
			p.undoTask(long)
			return nil, err
		}
		return p, nil
	}, func(ctx context.Context, p *Process) { p.undoTask(ctx) })
	if err != nil {
		return Result{}, err
	}
	return c.processResult(p), nil
}

func (ctr *Container) newTask(ctx, long context.Context, checkpointDir string, withStdin bool, stdioCookie uint64) (*Process, error) {
	spare, err := newSpare()
	if err != nil {
		return nil, err
	}
	defer spare.release()
	stdio, made := ctr.attach(stdioCookie, spare, nil)
	var task libcontainerdtypes.Task
	var unpacked string
	if checkpointDir == "" {
		task, err = ctr.moby.NewTask(long, "", withStdin, stdio)
	} else {
		task, unpacked, err = ctr.restore(ctx, long, checkpointDir, withStdin, stdio)
	}
	if err != nil {
		return nil, err
	}
	made(task)
	p := newProcess(ctr, task)
	p.restores = checkpointDir != ""
	p.unpacked.Store(unpacked)
	p.arm() // before the start, so that no exit can be missed
	return p, nil
}

// Task is Container.Task, or Container.AttachTask if there is a cookie.
func (c *Core) Task(ctx context.Context, h uint64, stdioCookie uint64) (Result, error) {
	ctr, err := c.container(h)
	if err != nil {
		return Result{}, err
	}
	var task libcontainerdtypes.Task
	if stdioCookie == 0 {
		task, err = ctr.moby.Task(ctx)
	} else {
		if ctr.bundle != "" { // otherwise the FIFOs are another program's, in a directory of its own
			if err := ctr.checkFIFOs(ctr.id); err != nil {
				return Result{}, err
			}
		}
		var spare *spare
		if spare, err = newSpare(); err != nil {
			return Result{}, err
		}
		defer spare.release()
		// AttachTask ties the FIFOs to its context for life: the end of the call's own context would close them.
		attached, end, stop := ctr.client.untilDone(ctx)
		defer stop()
		stdio, made := ctr.attach(stdioCookie, spare, end)
		if task, err = ctr.moby.AttachTask(attached, stdio); err == nil {
			made(task)
		} else {
			end()
		}
	}
	if err != nil {
		return Result{}, err
	}
	return c.processResult(newProcess(ctr, task)), nil
}

// untilDone returns a context that lives until end is called or the client closes. It also ends with ctx, if that ends before
// stop is called.
func (cl *Client) untilDone(ctx context.Context) (_ context.Context, end context.CancelFunc, stop func()) {
	long, cancel := context.WithCancelCause(cl.ctx)
	if ctx.Err() != nil {
		cancel(context.Cause(ctx))
	}
	unlink := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return endedByCause(long), func() { cancel(nil) }, func() { unlink() }
}

// causeContext reports its cause as its error, which tells a deadline from a cancellation.
type causeContext struct {
	context.Context
	done chan struct{} // its own: through the inner one, a derived context would see the plain error
}

func endedByCause(inner context.Context) context.Context {
	c := causeContext{inner, make(chan struct{})}
	if inner.Err() != nil {
		close(c.done)
	} else {
		context.AfterFunc(inner, func() { close(c.done) })
	}
	return c
}

func (c causeContext) Done() <-chan struct{} { return c.done }

func (c causeContext) Err() error {
	select {
	case <-c.done:
		return context.Cause(c.Context)
	default:
		return nil
	}
}

// DeleteContainer is Container.Delete.
func (c *Core) DeleteContainer(ctx context.Context, h uint64) (Result, error) {
	ctr, err := c.container(h)
	if err != nil {
		return Result{}, err
	}
	if ctr.bundle != "" {
		if err := ctr.checkBundle(); err != nil {
			return Result{}, err
		}
	}
	if err := ctr.client.undone(ctx, processName{ctr.id, ctr.id}); err != nil {
		return Result{}, err
	}
	leave, err := ctr.client.enterBundle(ctx, ctr.id)
	if err != nil {
		return Result{}, err
	}
	defer leave()
	deleted := ctr.client.deleting(ctr.id)
	if err := ctr.delete(ctx); err != nil {
		return Result{}, err
	}
	deleted()
	return Result{}, nil
}

// delete is libcontainerd's Delete, which removes the bundle once containerd has answered. If that answer was lost, the next
// try finds no container; it then removes the bundle itself.
func (ctr *Container) delete(ctx context.Context) error {
	err := ctr.moby.Delete(ctx)
	switch kind.Of(err) {
	case kind.Unavailable, kind.DeadlineExceeded, kind.Canceled:
		ctr.unanswered.Store(true)
	case kind.NotFound:
		if ctr.bundle != "" && ctr.unanswered.Load() {
			if failed := os.RemoveAll(ctr.bundle); failed != nil {
				log.G(ctx).WithError(failed).WithField("container", ctr.id).Error("failed to remove bundle")
			}
		}
	}
	return err
}

func (c *Core) processResult(p *Process) Result {
	return Result{Value: c.handles.Put(p), Code: p.moby.Pid()}
}

// checkExitOption refuses what libcontainerd would silently ignore: without runc's options a checkpoint leaves the task
// running. Runtimes of other names don't take these options, and LoadContainer does not restore them.
func (ctr *Container) checkExitOption(exit bool) error {
	if exit && !ctr.exits {
		return cerrdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("container %q was loaded, or its shim is not %s, so libcontainerd has no runtime "+
			"options for it and would ignore exit: checkpoint with exit=False and kill the task, or use the container that was created with that shim",
			ctr.id, plugins.RuntimeRuncV2))
	}
	return nil
}
