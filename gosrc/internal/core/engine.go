package core

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/docker/docker/libcontainerd/supervisor"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
)

// stopTimeout is one second more than the supervisor gives the daemon before it kills it.
const stopTimeout = 16 * time.Second

// An Engine is a containerd that moby's supervisor runs.
type Engine struct {
	daemon supervisor.Daemon
	cancel context.CancelFunc
}

// StartEngine starts a private containerd. It outlives ctx, which bounds the start only.
func (c *Core) StartEngine(ctx context.Context, root, state, logLevel, path string) (Result, error) {
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
	defer context.AfterFunc(ctx, cancel)()
	daemon, err := supervisor.Start(long, root, state, supervisor.WithLogLevel(logLevel), supervisor.WithCRIDisabled())
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		if said := c.containerd.last(); said != "" {
			return Result{}, fmt.Errorf("%w; containerd's last words: %s", err, said)
		}
		return Result{}, err
	}
	return Result{Value: c.handles.Put(&Engine{daemon, cancel}), Data: []byte(daemon.Address())}, nil
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
	if err := clear(ctx, engine.daemon.Address()); err != nil {
		log.G(ctx).WithError(err).Error("failed to delete the containers of the engine")
	}
	engine.cancel()
	if err := engine.daemon.WaitTimeout(stopTimeout); err != nil {
		return Result{}, fmt.Errorf("%w: %w", err, context.DeadlineExceeded)
	}
	return Result{}, nil
}

// clear deletes every task and container in every namespace: a shim does not end with its daemon.
func clear(ctx context.Context, address string) error {
	daemon, err := connect(ctx, address)
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
		var group sync.WaitGroup
		for _, ctr := range containers {
			group.Go(func() {
				if err := remove(ctx, ctr); err != nil {
					log.G(ctx).WithError(err).WithField("container", ctr.ID()).Error("failed to delete container")
				}
			})
		}
		group.Wait()
	}
	return nil
}

func remove(ctx context.Context, ctr containerd.Container) error {
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
	once sync.Once
	err  error
	mu   sync.Mutex
	line string
}

// hostStdout and hostStderr keep the originals: were they collected, their finalizers would close the host program's
// descriptors 1 and 2.
var hostStdout, hostStderr = os.Stdout, os.Stderr

func (o *containerdOutput) capture() error {
	o.once.Do(func() {
		reader, writer, err := os.Pipe()
		if err != nil {
			o.err = err
			return
		}
		os.Stdout, os.Stderr = writer, writer
		go func() {
			lines := bufio.NewScanner(reader)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				o.mu.Lock()
				o.line = lines.Text()
				o.mu.Unlock()
				log.L.WithField("module", "containerd").Info(lines.Text())
			}
		}()
	})
	return o.err
}

func (o *containerdOutput) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.line)
}
