package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// daemonTimeout is what a daemon is given to stop before it is killed, as the supervisor gives it.
const daemonTimeout = 15 * time.Second

// stopTimeout is what the supervisor is given to end, one second more than that.
const stopTimeout = daemonTimeout + time.Second

// These are the pauses before an ended daemon is started again; they double while it does not last.
const shortestPause, longestPause = 100 * time.Millisecond, 1500 * time.Millisecond

// returnTimeout is ample for a daemon that died to be started again.
const returnTimeout = 30 * time.Second

// removeTimeout is twice what containerd itself waits, at most, in the deletion of one task: for the output of an exec.
const removeTimeout = 20 * time.Second

// clearTries is how often the containers of an engine are tried to be deleted while its daemon dies.
const clearTries = 3

// removesAtOnce keeps a crowd of containers from making one another late.
const removesAtOnce = 16

// An Engine is a containerd that moby's supervisor runs.
type Engine struct {
	root, state    string
	address        string
	id             string // the daemon's own
	logLevel       string
	path           string   // its PATH
	launcher       *os.File // what starts it
	shim           string
	ctx            context.Context // ends when the engine is to be stopped
	stop           context.CancelFunc
	kept           chan struct{} // closed once keep has ended
	daemon         supervisor.Daemon
	stopSupervisor context.CancelFunc
	ended          <-chan struct{} // closed once the daemon has ended
}

// StartEngine starts a private containerd. It outlives ctx, which bounds the start only. A directory that was empty is so
// again when it fails.
func (c *Core) StartEngine(ctx context.Context, root, state, logLevel, path string) (_ Result, err error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err // the supervisor would start a daemon first
	}
	if err := checkProc(); err != nil {
		return Result{}, err
	}
	rootEmpty, rootErr := ownDirectory("root", root, 0o700)
	stateEmpty, stateErr := ownDirectory("state", state, 0o711) // the bundles of user namespaces are in it
	if err := errors.Join(rootErr, stateErr); err != nil {
		return Result{}, err
	}
	defer func() {
		if err != nil && rootEmpty {
			_ = emptyFrom("root", root)
		}
		if err != nil && stateEmpty {
			_ = emptyFrom("state", state)
		}
	}()
	// Before containerd makes it: versions before 2.1.5 let everybody enter, down to a database that everybody may read.
	private := filepath.Join(root, "daemon")
	if err := errors.Join(os.MkdirAll(private, 0o700), os.Chmod(private, 0o700)); err != nil {
		return Result{}, err
	}
	if err := c.containerd.capture(); err != nil {
		return Result{}, err
	}
	program, err := findProgram("containerd", filepath.SplitList(path))
	if err != nil {
		return Result{}, cerrdefs.ErrFailedPrecondition.WithMessage(err.Error())
	}
	launcher, err := newLauncher(program, path, root)
	if err != nil {
		return Result{}, err
	}
	e := &Engine{
		root: root, state: state, address: filepath.Join(state, "containerd.sock"), logLevel: logLevel,
		path: path, launcher: launcher, shim: findShim(path, program), kept: make(chan struct{}),
	}
	e.ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := e.start(ctx, true); err != nil {
		_ = launcher.Close()
		if said := c.containerd.last(); said != "" {
			err = fmt.Errorf("%w; containerd's last words: %s", err, said)
		}
		return Result{}, err
	}
	e.id = idOf(ctx, e.address)
	if runc, err := findProgram("runc", filepath.SplitList(path)); err == nil {
		c.runcs.Store(e.address, runc)
	}
	spawn(e.keep)
	return Result{Value: c.handles.Put(e), Data: []byte(e.address)}, nil
}

// start has the supervisor start a daemon. It answers when ctx ends, though the supervisor would keep waiting for a daemon
// that never serves; and if it is not patient, when the daemon has ended, though the supervisor would start another one. When
// it fails, no daemon is left.
func (e *Engine) start(ctx context.Context, patient bool) error {
	// What cleans /tmp up removes old directories, and then another user can make one of that name.
	if err := errors.Join(checkOwned("root", e.root), checkOwned("state", e.state)); err != nil {
		return err
	}
	if !e.forgetStranger() {
		e.cleanUpDead(ctx)
	}
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	made := make(chan supervisor.Daemon, 1)
	started := make(chan error, 1)
	spawn(func() {
		defer close(made)
		_, err := protect(func() (supervisor.Daemon, error) {
			return supervisor.Start(long, e.root, e.state, supervisor.WithLogLevel(e.logLevel), startedBy(e.launcher, made, supervisor.WithCRIDisabled()))
		})
		started <- err
	})
	var ended <-chan struct{}
	if !patient {
		ended = e.watch(long)
	}
	var err error
	select {
	case err = <-started:
	case <-ctx.Done():
		err = ctx.Err()
	case <-ended:
		err = errEnded
	}
	daemon := <-made
	if err == nil {
		if patient {
			ended = e.watch(long)
		}
		e.daemon, e.stopSupervisor, e.ended = daemon, cancel, ended
		return nil
	}
	failed := e.endChildren()
	if failed == nil && daemon != nil {
		e.disarm(daemon)
	}
	cancel()
	if daemon != nil {
		if late := daemon.WaitTimeout(stopTimeout); late != nil {
			err = fmt.Errorf("%w; %w", err, late)
		}
	}
	_ = e.endChildren()
	return err
}

// watch tells when the daemon that the supervisor starts has ended. If there is no way to, it never does.
func (e *Engine) watch(long context.Context) <-chan struct{} {
	ended := make(chan struct{})
	spawn(func() {
		for {
			p, err := e.process()
			if err == nil {
				err = p.awaitEnd()
				p.close()
				if err == nil {
					close(ended)
				}
				return
			}
			if !errors.Is(err, errEnded) {
				return
			}
			select {
			case <-long.Done():
				return
			case <-time.After(10 * time.Millisecond): // the supervisor has yet to write down its number
			}
		}
	})
	return ended
}

// keep starts the daemon again when it has ended. The supervisor does that, too, but only after it has failed three times,
// in ten seconds or more, to reach the one that it had; and if another process has got its number by then, kills that.
func (e *Engine) keep() {
	defer close(e.kept)
	pause, begun := shortestPause, time.Now()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.ended:
		}
		log.L.WithField("address", e.address).Warn("containerd has ended and is started again")
		if time.Since(begun) > longestPause {
			pause = shortestPause
		}
		_ = e.end()
		for err := errEnded; err != nil; pause = min(2*pause, longestPause) {
			select {
			case <-e.ctx.Done():
				return
			case <-time.After(pause):
			}
			begun = time.Now()
			if err = e.start(e.ctx, false); err != nil && e.ctx.Err() == nil {
				log.L.WithError(err).Error("failed to start containerd again")
			}
		}
	}
}

// end ends the daemon, and then the supervisor.
func (e *Engine) end() error {
	failed := e.endChildren()
	if p, err := e.process(); err == nil { // an earlier program's
		failed = errors.Join(failed, e.endDaemon(p))
		p.close()
	}
	if failed == nil {
		e.disarm(e.daemon)
	}
	e.stopSupervisor()
	err := e.daemon.WaitTimeout(stopTimeout)
	_ = e.endChildren()
	return err
}

// StopEngine deletes what runs under the daemon, then stops it, and removes the bundles of its clients, and its directories
// if they are to be discarded.
func (c *Core) StopEngine(ctx context.Context, h uint64, discardRoot, discardState bool) (Result, error) {
	e, err := handle.Get[*Engine](&c.handles, h)
	if err != nil {
		return Result{}, err
	}
	if err := c.Release(h); err != nil {
		return Result{}, err // somebody else is stopping it
	}
	// A user who has made the state directory anew serves the socket in it, and chooses there what a shim is.
	if err = checkOwned("state", e.state); err == nil {
		err = clear(ctx, e.address)
	}
	if err != nil {
		err = fmt.Errorf("failed to delete the containers of the engine: %w", err)
	}
	c.runcs.Delete(e.address)
	e.stop()
	<-e.kept
	if late := e.end(); late != nil {
		err = errors.Join(err, fmt.Errorf("%w: %w", late, context.DeadlineExceeded))
	}
	_ = e.launcher.Close()
	e.endShims()
	removeCgroups(e.id)
	left := removeFrom("state", e.state, "bundles")
	if discardRoot {
		left = errors.Join(left, removeFrom("root", e.root, ""))
	}
	if discardState {
		left = errors.Join(left, removeFrom("state", e.state, ""))
	}
	if left != nil {
		log.L.WithError(left).Warn("an engine leaves something behind")
	}
	return Result{}, err
}

// await connects to a daemon that serves, be it one that is yet to be started again.
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
// is logged, and left to endShims. When the daemon ends meanwhile, it is started again, and so is this.
func clear(ctx context.Context, address string) (err error) {
	for tries := 1; tries <= clearTries; tries++ {
		if err = clearOnce(ctx, address, tries == clearTries); kind.Of(err) != kind.Unavailable {
			break
		}
	}
	return err
}

// clearOnce is one try. If it is not the last, it answers that the daemon was away while a container was to be deleted.
func clearOnce(ctx context.Context, address string, last bool) error {
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
				_, err := protect(func() (struct{}, error) { return struct{}{}, remove(ctx, ctr) })
				if !last && kind.Of(err) == kind.Unavailable {
					return err
				}
				if err != nil {
					log.G(ctx).WithError(err).WithField("container", ctr.ID()).Error("failed to delete container")
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
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
