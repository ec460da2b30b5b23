package core

import (
	"context"
	"fmt"

	"github.com/containerd/log"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// A deletion is the outcome of one whose caller gave up.
type deletion struct {
	Result
	forced bool // without an exit status
}

// DeleteProcess is Process.Delete.
func (c *Core) DeleteProcess(ctx context.Context, h uint64) (Result, error) {
	p, _, err := c.process(h)
	if err != nil {
		return Result{}, err
	}
	return p.seeDeleted(ctx, false, func(long context.Context) (Result, error) {
		deleted := func() {}
		if p.isTask() {
			deleted = p.container.client.deleting(p.container.id)
		}
		p.learnOOMBeforeDelete(long)
		status, err := p.moby.Delete(long)
		if err != nil {
			return Result{}, err
		}
		p.tellCensus(status)
		p.discard()
		deleted()
		return p.exitResult(status)
	})
}

// ForceDelete is Task.ForceDelete.
func (c *Core) ForceDelete(ctx context.Context, h uint64) (Result, error) {
	_, p, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	return p.seeDeleted(ctx, true, func(long context.Context) (Result, error) { return Result{}, p.forceDelete(long) })
}

// seeDeleted runs a deletion to its end: containerd's client waits for the streams without a context, and containerd may still
// carry out a request that was cut off. If the caller gives up, the next deletion of this object waits for that end and returns
// its outcome.
func (p *Process) seeDeleted(ctx context.Context, forced bool, work func(context.Context) (Result, error)) (Result, error) {
	cl, key := p.container.client, p.name()
	if err := cl.undone(ctx, key); err != nil {
		return Result{}, err
	}
	if came := p.unheard.Swap(nil); came != nil && (forced || !came.forced) {
		return came.Result, nil
	}
	fate := fmt.Sprintf("the deletion of %q goes on in the background", key.process)
	return seeThrough(ctx, cl, key, fate, work, func(_ context.Context, came Result) { p.unheard.Store(&deletion{came, forced}) })
}

func (p *Process) forceDelete(ctx context.Context) error {
	deleted := p.container.client.deleting(p.container.id)
	if err := p.moby.(libcontainerdtypes.Task).ForceDelete(ctx); err != nil {
		return err
	}
	p.discard()
	deleted()
	return nil
}

// undoTask deletes a task whose start failed or was abandoned.
func (p *Process) undoTask(ctx context.Context) {
	p.close()
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	// Only stopped tasks can be deleted; a created one has to be killed first.
	if err := p.forceDelete(ctx); err != nil {
		log.G(ctx).WithError(err).WithField("container", p.container.id).Error("failed to delete task after fail start")
	}
	p.discard()
}
