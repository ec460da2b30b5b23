package core

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/identifiers"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Exec is Task.Exec.
func (c *Core) Exec(ctx context.Context, h uint64, id string, spec []byte, withStdin bool, stdioCookie uint64) (Result, error) {
	task, p, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	var process specs.Process
	if err := parseObject("process spec", spec, &process); err != nil {
		return Result{}, err
	}
	// Leave ids that can't leave the bundle to libcontainerd: it asks containerd before it has made more than FIFOs.
	if strings.ContainsAny(id, "/\x00") {
		if err := identifiers.Validate(id); err != nil {
			return Result{}, p.container.refuseExec(ctx, id, &process, err)
		}
	}
	key := processName{p.container.id, id}
	if err := p.container.client.undone(ctx, key); err != nil {
		return Result{}, err
	}
	if err := p.container.checkFIFOs(id); err != nil {
		return Result{}, err
	}
	fate := fmt.Sprintf("exec %q of container %q is killed and deleted in the background", id, p.container.id)
	exec, err := seeThrough(ctx, p.container.client, key, fate, func(long context.Context) (*Process, error) {
		leave, err := p.container.execTurn(ctx) // a caller that gives up while waiting has begun nothing
		if err != nil {
			return nil, err
		}
		defer leave()
		spare, err := newSpare()
		if err != nil {
			return nil, err
		}
		defer spare.release()
		stdio, made := p.container.attach(stdioCookie, spare, nil)
		started := p.container.client.starting(key)
		exec, err := task.Exec(long, id, &process, withStdin, stdio)
		started(pidOf(exec, err))
		if err != nil {
			return nil, err
		}
		made(exec)
		return newProcess(p.container, exec), nil
	}, func(ctx context.Context, exec *Process) { exec.undoExec(ctx) })
	if err != nil {
		return Result{}, err
	}
	return c.processResult(exec), nil
}

// undoExec kills and deletes an abandoned exec.
func (p *Process) undoExec(ctx context.Context) {
	defer p.close()
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	p.arm()
	err := p.moby.Kill(ctx, syscall.SIGKILL)
	if err == nil || cerrdefs.IsNotFound(err) { // it may have ended by itself
		if _, err = receive(ctx, p.exited); err == nil {
			err = p.deleteEnded(ctx)
		}
	}
	if err != nil && !cerrdefs.IsNotFound(err) {
		log.G(ctx).WithError(err).WithField("container", p.container.id).Error("failed to delete an abandoned exec")
	}
}

// execsAtOnce is how many execs of one container start at once on containerd 1.6. Its shim handles no exits while it starts an
// exec, and retries exits beyond its queue of 32 a millisecond at a time. Measured with 100 execs at once: 3
// to 4 s with any bound from 1 to 16, 13 s with 20, 45 s with 24. Half of 16 leaves room for other clients and for processes
// that end meanwhile.
const execsAtOnce = 8

// execTurn waits until the container's shim can take another exec; the caller calls leave once it has started.
func (ctr *Container) execTurn(ctx context.Context) (leave func(), err error) {
	if !ctr.client.queuesExecs(ctx) {
		return func() {}, nil
	}
	return ctr.client.core.execs.enter(ctx, ctr.bundle)
}

// queuesExecs reports whether the daemon's shims need execTurn.
func (cl *Client) queuesExecs(ctx context.Context) bool {
	known := cl.version.Load()
	if known == nil {
		version, err := cl.moby.Version(ctx)
		if err != nil {
			return false // the exec itself will report it
		}
		known = &version.Version
		cl.version.Store(known)
	}
	var major, minor int
	_, err := fmt.Sscanf(strings.TrimPrefix(*known, "v"), "%d.%d", &major, &minor)
	return err == nil && major == 1 && minor <= 6
}

// deleteEnded deletes an ended exec. While its task is paused, containerd reports the exec as paused too, and refuses.
func (p *Process) deleteEnded(ctx context.Context) error {
	for {
		_, err := p.moby.Delete(ctx)
		if !cerrdefs.IsFailedPrecondition(err) {
			return err
		}
		select {
		case <-time.After(retryWait):
		case <-ctx.Done():
			return err
		}
	}
}
