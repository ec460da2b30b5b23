package core

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/typeurl/v2"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// embedded is what libcontainerd's tasks and processes have beyond their interfaces, through the containerd objects embedded in
// them.
type embedded interface {
	Wait(context.Context) (<-chan containerd.ExitStatus, error)
	CloseIO(context.Context, ...containerd.IOCloserOpts) error
	Status(context.Context) (containerd.Status, error)
	ID() string
}

// A Process is a task's init process or an exec.
type Process struct {
	container *Container
	moby      libcontainerdtypes.Process
	pid       atomic.Uint32 // moby's, which a start may be about to write
	ctx       context.Context
	cancel    context.CancelFunc
	armed     sync.Once
	exited    chan struct{}
	settled   chan struct{}         // closed after exited, once it is known whether it ran out of memory, or can't be known
	status    containerd.ExitStatus // once exited is closed
	waitErr   error
	unheard   atomic.Pointer[deletion]
	oomKilled atomic.Pointer[bool] // nil if unknown
	restores  bool                 // CRIU does its start
	unpacked  atomic.Value         // a directory; see leftovers
}

func newProcess(ctr *Container, moby libcontainerdtypes.Process) *Process {
	p := &Process{container: ctr, moby: moby, exited: make(chan struct{}), settled: make(chan struct{})}
	p.pid.Store(moby.Pid())
	p.ctx, p.cancel = context.WithCancel(ctr.client.ctx)
	return p
}

func (p *Process) close() { p.cancel() }

func (p *Process) isTask() bool { _, ok := p.moby.(libcontainerdtypes.Task); return ok }

func (p *Process) name() processName { return processName{p.container.id, p.moby.(embedded).ID()} }

func (c *Core) process(h uint64) (*Process, embedded, error) {
	p, err := handle.Get[*Process](&c.handles, h)
	if err != nil {
		return nil, nil, err
	}
	return p, p.moby.(embedded), p.container.client.check()
}

func (c *Core) task(h uint64) (libcontainerdtypes.Task, *Process, error) {
	p, _, err := c.process(h)
	if err != nil {
		return nil, nil, err
	}
	task, ok := p.moby.(libcontainerdtypes.Task)
	if !ok {
		return nil, nil, &handle.WrongTypeError{Want: "task", Got: "exec"}
	}
	return task, p, nil
}

// onTask runs a method of Task that returns only an error.
func (c *Core) onTask(h uint64, method func(libcontainerdtypes.Task) error) (Result, error) {
	task, _, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	return Result{}, method(task)
}

// arm begins to wait for the exit, once.
func (p *Process) arm() {
	p.armed.Do(func() {
		spawn(func() {
			defer close(p.settled)
			p.hearOfExit()
			if p.waitErr == nil {
				p.learnOOM(p.ctx)
			}
		})
	})
}

// hearOfExit waits for the exit. Whatever happens, its end releases everyone else who waits.
func (p *Process) hearOfExit() {
	defer close(p.exited)
	if p.status, p.waitErr = protect(p.await); p.waitErr == nil {
		p.tellCensus(&p.status)
	}
}

// tellCensus notes the exit in the census; its event may be lost.
func (p *Process) tellCensus(status *containerd.ExitStatus) {
	p.container.client.census.exited(p.name().with(p.pid.Load()), status)
}

// retryWait is the pause between tries while the daemon is away.
const retryWait = 100 * time.Millisecond

// await waits until the process has exited. When the daemon goes away, containerd's Wait returns 255 with an error. That is not
// an exit: the shim still has the true one, so wait again.
func (p *Process) await() (containerd.ExitStatus, error) {
	for {
		statuses, err := p.moby.(embedded).Wait(p.ctx)
		if err != nil {
			return containerd.ExitStatus{}, err
		}
		status := <-statuses
		err = status.Error()
		if p.ctx.Err() != nil {
			return containerd.ExitStatus{}, kind.ErrClosed
		}
		if err == nil {
			return status, nil
		}
		if kind.Of(err) != kind.Unavailable {
			return containerd.ExitStatus{}, err
		}
		select {
		case <-time.After(retryWait):
		case <-p.ctx.Done():
		}
	}
}

// WaitProcess completes when the process has exited.
func (c *Core) WaitProcess(ctx context.Context, h uint64) (Result, error) {
	p, _, err := c.process(h)
	if err != nil {
		return Result{}, err
	}
	p.arm()
	if _, err := receive(ctx, p.settled); err != nil && !p.ended(ctx) {
		return Result{}, err
	}
	if p.waitErr != nil {
		return Result{}, p.waitErr
	}
	return p.exitResult(&p.status)
}

// lookTimeout bounds the last look at a process after a wait timed out. A wait is at most 100 ms late.
const lookTimeout = 80 * time.Millisecond

// ended looks once more at a process after a wait timed out, so that even a timeout of 0 gets a dead process's exit status: the
// answer to the wait may still be on its way.
func (p *Process) ended(ctx context.Context) bool {
	if kind.Of(ctx.Err()) != kind.DeadlineExceeded {
		return false
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	status, err := p.moby.(embedded).Status(look)
	if err != nil || status.Status != containerd.Stopped {
		return false
	}
	if _, err = receive(look, p.exited); err == nil {
		_, _ = receive(look, p.settled)
	}
	return err == nil
}

func (p *Process) exitResult(status *containerd.ExitStatus) (Result, error) {
	result := Result{Code: status.ExitCode(), At: status.ExitTime()}
	if err := status.Error(); err != nil {
		result.Data = []byte(err.Error())
	}
	var err error
	if killed := p.oomKilled.Load(); killed != nil {
		result.Detail, err = json.Marshal(map[string]bool{"oom_killed": *killed})
	}
	return result, err
}

// Kill is Process.Kill.
func (c *Core) Kill(ctx context.Context, h uint64, signal int32) (Result, error) {
	p, _, err := c.process(h)
	if err != nil {
		return Result{}, err
	}
	return Result{}, p.moby.Kill(ctx, syscall.Signal(signal))
}

// Resize is Process.Resize.
func (c *Core) Resize(ctx context.Context, h uint64, width, height uint32) (Result, error) {
	p, _, err := c.process(h)
	if err != nil {
		return Result{}, err
	}
	return Result{}, p.moby.Resize(ctx, width, height)
}

// CloseStdin is CloseIO, as libcontainerd's own stdin sends it when closed.
func (c *Core) CloseStdin(ctx context.Context, h uint64) (Result, error) {
	_, e, err := c.process(h)
	if err != nil {
		return Result{}, err
	}
	return Result{}, e.CloseIO(ctx, containerd.WithStdinCloser)
}

// Status is Task.Status, which an exec also has.
func (c *Core) Status(ctx context.Context, h uint64) (Result, error) {
	_, e, err := c.process(h)
	if err != nil {
		return Result{}, err
	}
	status, err := e.Status(ctx)
	if err != nil {
		return Result{}, err
	}
	result, err := asJSON(map[string]string{"status": string(status.Status)})
	result.Code, result.At = status.ExitStatus, status.ExitTime
	return result, err
}

// pidOf is the pid of a started process, or 0 after an error.
func pidOf(process libcontainerdtypes.Process, err error) uint32 {
	if err != nil {
		return 0
	}
	return process.Pid()
}

// StartTask is Task.Start.
func (c *Core) StartTask(ctx context.Context, h uint64) (Result, error) {
	_, p, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	return seeThrough(ctx, p.container.client, p.name(), "the start goes on, and the task stays", func(long context.Context) (Result, error) {
		return Result{}, p.start(long)
	}, nil)
}

// start is Task.Start.
func (p *Process) start(ctx context.Context) error {
	begun := time.Now()
	task := p.moby.(libcontainerdtypes.Task)
	started := p.container.client.starting(p.name())
	err := task.Start(ctx)
	if err == nil {
		p.pid.Store(task.Pid()) // a restored task has none before
	}
	started(pidOf(task, err))
	if err == nil {
		p.discard()
	} else if p.restores {
		err = withCriuReason(err, begun) // before the task and its log are deleted
	}
	return err
}

// Pause is Task.Pause.
func (c *Core) Pause(ctx context.Context, h uint64) (Result, error) {
	return c.onTask(h, func(t libcontainerdtypes.Task) error { return t.Pause(ctx) })
}

// Resume is Task.Resume.
func (c *Core) Resume(ctx context.Context, h uint64) (Result, error) {
	return c.onTask(h, func(t libcontainerdtypes.Task) error { return t.Resume(ctx) })
}

// Stats is Task.Stats.
func (c *Core) Stats(ctx context.Context, h uint64) (Result, error) {
	task, _, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	stats, err := task.Stats(ctx)
	if err != nil {
		return Result{}, err
	}
	return statsResult(stats)
}

// statsResult names the metrics by their protobuf field names: the struct tags of the generated code.
func statsResult(stats *libcontainerdtypes.Stats) (Result, error) {
	name, err := typeurl.TypeURL(stats.Metrics)
	if err != nil {
		return Result{}, err
	}
	result, err := asJSON(map[string]any{"type": name, "metrics": stats.Metrics})
	result.At = stats.Read
	return result, err
}

// Summary is Task.Summary.
func (c *Core) Summary(ctx context.Context, h uint64) (Result, error) {
	task, _, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	summaries, err := task.Summary(ctx)
	if err != nil {
		return Result{}, err
	}
	return asJSON(append([]libcontainerdtypes.Summary{}, summaries...))
}

// UpdateResources is Task.UpdateResources.
func (c *Core) UpdateResources(ctx context.Context, h uint64, data []byte) (Result, error) {
	return c.onTask(h, func(t libcontainerdtypes.Task) error {
		var resources libcontainerdtypes.Resources
		if err := parseObject("resources", data, &resources); err != nil {
			return err
		}
		return t.UpdateResources(ctx, &resources)
	})
}
