package core

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/docker/docker/libcontainerd/supervisor"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/errgroup"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// stopTimeout is one second more than the supervisor gives the daemon before it kills it.
const stopTimeout = 16 * time.Second

// returnTimeout is ample for the supervisor to notice that its daemon died and to start it again.
const returnTimeout = 30 * time.Second

// removeTimeout is twice what containerd itself waits, at most, in the deletion of one task: for the output of an exec.
const removeTimeout = 20 * time.Second

// removesAtOnce keeps a crowd of containers from making one another late.
const removesAtOnce = 16

// An Engine is a containerd that moby's supervisor runs.
type Engine struct {
	daemon supervisor.Daemon
	cancel context.CancelFunc
}

// StartEngine starts a private containerd. It outlives ctx, which bounds the start only.
func (c *Core) StartEngine(ctx context.Context, root, state, logLevel, path string) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err // the supervisor would start a daemon first
	}
	if err := errors.Join(checkDirectory("root", root), checkDirectory("state", state)); err != nil {
		return Result{}, err
	}
	// The supervisor looks containerd up in Go's environment, which was copied when the library was loaded.
	if os.Getenv("PATH") != path {
		if err := os.Setenv("PATH", path); err != nil {
			return Result{}, err
		}
	}
	if err := c.containerd.capture(); err != nil {
		return Result{}, err
	}
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	daemon, err := startDaemon(ctx, long, root, state, logLevel)
	if err == nil {
		return Result{Value: c.handles.Put(&Engine{daemon, cancel}), Data: []byte(daemon.Address())}, nil
	}
	cancel()
	awaitEnd(state)
	if said := c.containerd.last(); said != "" {
		err = fmt.Errorf("%w; containerd's last words: %s", err, said)
	}
	return Result{}, err
}

// startDaemon answers when ctx ends, though the supervisor would keep waiting for a daemon that never serves.
func startDaemon(ctx, long context.Context, root, state, logLevel string) (supervisor.Daemon, error) {
	type outcome struct {
		daemon supervisor.Daemon
		err    error
	}
	started := make(chan outcome, 1)
	go func() {
		daemon, err := supervisor.Start(long, root, state, supervisor.WithLogLevel(logLevel), supervisor.WithCRIDisabled())
		started <- outcome{daemon, err}
	}()
	select {
	case o := <-started:
		return o.daemon, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// awaitEnd waits for a daemon that we have no Daemon of: the supervisor removes its pid file when it has stopped it.
func awaitEnd(state string) {
	for end := time.Now().Add(stopTimeout); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(state, "containerd.pid")); err != nil {
			return
		}
	}
}

// StopEngine deletes what runs under the daemon, then stops it.
func (c *Core) StopEngine(ctx context.Context, h uint64) (Result, error) {
	engine, err := handle.Get[*Engine](&c.handles, h)
	if err != nil {
		return Result{}, err
	}
	if err := c.Release(h); err != nil {
		return Result{}, err // somebody else is stopping it
	}
	if err = clear(ctx, engine.daemon.Address()); err != nil {
		err = fmt.Errorf("failed to delete the containers of the engine: %w", err)
	}
	engine.cancel()
	if late := engine.daemon.WaitTimeout(stopTimeout); late != nil {
		err = errors.Join(err, fmt.Errorf("%w: %w", late, context.DeadlineExceeded))
	}
	endShims(engine.daemon.Address())
	return Result{}, err
}

// await connects to a daemon that serves, be it one that the supervisor has yet to start again.
func await(ctx context.Context, address string) (*containerd.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, returnTimeout)
	defer cancel()
	for {
		daemon, err := connect(ctx, address)
		if err == nil {
			if _, err = daemon.IsServing(ctx); err == nil {
				return daemon, nil
			}
			_ = daemon.Close()
		}
		if kind.Of(err) != kind.Unavailable {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// clear deletes every task and container in every namespace: a shim does not end with its daemon. What can't be deleted
// is logged, and left to endShims.
func clear(ctx context.Context, address string) error {
	daemon, err := await(ctx, address)
	if err != nil {
		return err
	}
	defer daemon.Close()
	names, err := daemon.NamespaceService().List(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		ctx := namespaces.WithNamespace(ctx, name)
		containers, err := daemon.Containers(ctx)
		if err != nil {
			return err
		}
		var group errgroup.Group
		group.SetLimit(removesAtOnce)
		for _, ctr := range containers {
			group.Go(func() error {
				if err := remove(ctx, ctr); err != nil {
					log.G(ctx).WithError(err).WithField("container", ctr.ID()).Error("failed to delete container")
				}
				return nil
			})
		}
		_ = group.Wait()
		if err := clearOrphans(ctx, daemon); err != nil {
			return err
		}
	}
	return nil
}

// clearOrphans deletes the tasks that have no container any more, since that was deleted while they were being made.
// containerd finds a task by its container only, so each gets one, with a spec that is never used.
func clearOrphans(ctx context.Context, daemon *containerd.Client) error {
	left, err := daemon.TaskService().List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return err
	}
	for _, task := range left.Tasks {
		ctr, err := daemon.NewContainer(ctx, task.ID, containerd.WithSpec(&specs.Spec{}))
		if cerrdefs.IsAlreadyExists(err) {
			continue // it was not to be deleted, as has been said
		}
		if err == nil {
			err = remove(ctx, ctr)
		}
		if err != nil {
			log.G(ctx).WithError(err).WithField("container", task.ID).Error("failed to delete task without container")
		}
	}
	return nil
}

// remove deletes a container with its task, whose shim may not answer.
func remove(ctx context.Context, ctr containerd.Container) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	task, err := ctr.Task(ctx, nil)
	if err == nil {
		_, err = task.Delete(ctx, containerd.WithProcessKill)
	}
	if err != nil && !cerrdefs.IsNotFound(err) {
		return err
	}
	return ctr.Delete(ctx)
}

// containerdOutput turns what the supervisor's daemons print into log records. The supervisor gives them this process's
// os.Stdout and os.Stderr, which in a library are the host program's and not ours to write on.
type containerdOutput struct {
	mu   sync.Mutex
	line string
	// host keeps the originals: were they collected, their finalizers would close the host program's descriptors 1 and 2.
	host []*os.File
}

// longestLine is how much of a line is logged; containerd prints all its stacks in one when it is told to.
const longestLine = 1 << 16

// capture takes the output over, once, and forgets the line of earlier daemons.
func (o *containerdOutput) capture() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line = ""
	if o.host != nil {
		return nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	o.host = []*os.File{os.Stdout, os.Stderr}
	os.Stdout, os.Stderr = writer, writer
	go o.carry(reader)
	return nil
}

// carry logs lines for ever: were they not read, the daemons would stop at their next one.
func (o *containerdOutput) carry(from io.Reader) {
	lines := bufio.NewReaderSize(from, longestLine)
	for {
		line, longer, err := lines.ReadLine()
		if err != nil {
			return
		}
		text := string(line)
		for longer && err == nil {
			_, longer, err = lines.ReadLine()
		}
		o.mu.Lock()
		o.line = text
		o.mu.Unlock()
		log.L.WithField("module", "containerd").Info(text)
	}
}

func (o *containerdOutput) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.line)
}
