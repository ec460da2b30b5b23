package main

import (
	"context"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// embedded is what libcontainerd's processes have from the containerd objects that they embed.
type embedded interface {
	Wait(context.Context) (<-chan containerd.ExitStatus, error)
	CloseIO(context.Context, ...containerd.IOCloserOpts) error
	Status(context.Context) (containerd.Status, error)
}

// exit is how a process ends. libcontainerd has no wait: a Go user begins containerd's before the start, so that no exit
// is missed, and keeps what came.
type exit struct {
	process libcontainerdtypes.Process
	begin   sync.Once
	done    chan struct{}
	status  containerd.ExitStatus
	err     error
}

func exitOfProcess(p libcontainerdtypes.Process) *exit {
	return &exit{process: p, done: make(chan struct{})}
}

// await begins to wait, once.
func (e *exit) await() {
	e.begin.Do(func() {
		go func() {
			defer close(e.done)
			e.status, e.err = e.wait()
		}()
	})
}

// keep takes a status that came otherwise.
func (e *exit) keep(status containerd.ExitStatus) {
	e.begin.Do(func() {
		e.status = status
		close(e.done)
	})
}

// wait waits anew where the daemon went away, for that is no exit.
func (e *exit) wait() (containerd.ExitStatus, error) {
	for {
		statuses, err := e.process.(embedded).Wait(context.Background())
		if err != nil {
			return containerd.ExitStatus{}, err
		}
		status := <-statuses
		if err := status.Error(); err == nil || kindOf(err) != "unavailable" {
			return status, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func wait(ctx context.Context, p *proc, _ arguments) (any, error) {
	p.exit.await()
	select {
	case <-p.exit.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.exit.err != nil {
		return nil, p.exit.err
	}
	return exitOf(p.exit.status), nil
}
