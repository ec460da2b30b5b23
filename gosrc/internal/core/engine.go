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

// daemonTimeout is how long a daemon gets to stop before it is killed, as in the supervisor.
const daemonTimeout = 15 * time.Second

// stopTimeout is how long the supervisor gets to end: one second more.
const stopTimeout = daemonTimeout + time.Second

// The pauses before an ended daemon is restarted; they double while it keeps ending early.
const shortestPause, longestPause = 100 * time.Millisecond, 1500 * time.Millisecond

// returnTimeout is ample time for a dead daemon to be restarted.
const returnTimeout = 30 * time.Second

// removeTimeout is twice containerd's own longest wait in the deletion of one task, which is for the output of an exec.
const removeTimeout = 20 * time.Second

// clearTries is how often to try deleting an engine's containers while its daemon keeps dying.
const clearTries = 3

// removesAtOnce keeps many containers from running one another into their timeouts.
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

// StartEngine starts a private containerd. It outlives ctx, which bounds only the start. On failure, directories that were
// empty are empty again.
func (c *Core) StartEngine(ctx context.Context, root, state, logLevel, path string) (_ Result, err error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err // the supervisor would still start a daemon first
	}
	if err := checkProc(); err != nil {
		return Result{}, err
	}
	rootEmpty, rootErr := ownDirectory("root", root, 0o700)
	stateEmpty, stateErr := ownDirectory("state", state, 0o711) // it contains the bundles of user namespaces
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
	// Make it before containerd does: versions before 2.1.5 let everybody enter, down to a world-readable database.
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

// start has the supervisor start a daemon. It returns when ctx ends, whereas the supervisor would keep waiting for a daemon
// that never serves. Unless patient, it also returns when the daemon has ended, whereas the supervisor would start another. On
// failure no daemon is left.
func (e *Engine) start(ctx context.Context, patient bool) error {
	// A cleaner of /tmp removes old directories, and another user can then recreate one under that name.
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

// watch returns a channel that closes when the daemon that the supervisor starts has ended; if that can't be found out, it
// never closes.
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
			case <-time.After(10 * time.Millisecond): // the supervisor has yet to write its number
			}
		}
	})
	return ended
}

// keep restarts the daemon when it has ended. The supervisor does that too, but only after it has failed three times, over ten
// seconds or more, to reach its daemon. If another process has that number by then, the supervisor kills it.
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
	if p, err := e.process(); err == nil { // an earlier program's daemon
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

// StopEngine deletes what runs under the daemon, stops it, removes its clients' bundles, and, if asked to, its directories.
func (c *Core) StopEngine(ctx context.Context, h uint64, discardRoot, discardState bool) (Result, error) {
	e, err := handle.Get[*Engine](&c.handles, h)
	if err != nil {
		return Result{}, err
	}
	if err := c.Release(h); err != nil {
		return Result{}, err // another call is stopping it
	}
	// A user who has recreated the state directory serves the socket in it, and so chooses what a shim is.
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

// await connects to a serving daemon, and waits for one that is yet to be restarted.
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

// clear deletes every task and container in every namespace: a shim does not end with its daemon. What can't be deleted is
// logged and left to endShims. If the daemon ends meanwhile, it is restarted and so is this.
func clear(ctx context.Context, address string) (err error) {
	for tries := 1; tries <= clearTries; tries++ {
		if err = clearOnce(ctx, address, tries == clearTries); kind.Of(err) != kind.Unavailable {
			break
		}
	}
	return err
}

// clearOnce is one try. Unless it is the last, it returns an error if the daemon was away during a deletion.
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

// clearOrphans deletes the tasks without a container, which was deleted while they were being made. containerd finds a task
// only by its container, so each gets one, with a spec that is never used.
func clearOrphans(ctx context.Context, daemon *containerd.Client) error {
	left, err := daemon.TaskService().List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return err
	}
	for _, task := range left.Tasks {
		ctr, err := daemon.NewContainer(ctx, task.ID, containerd.WithSpec(&specs.Spec{}))
		if cerrdefs.IsAlreadyExists(err) {
			continue // its deletion failed before, and was logged
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
