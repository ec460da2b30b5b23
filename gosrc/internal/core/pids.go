package core

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/docker/docker/errdefs"
)

// loadedExec is an exec that another client has started. libcontainerd can't load one; this copies its wrapper of an exec,
// which is not exported.
type loadedExec struct {
	containerd.Process
	pid uint32 // containerd's LoadProcess leaves it out
}

func (e loadedExec) Pid() uint32 { return e.pid }

func (e loadedExec) Kill(ctx context.Context, signal syscall.Signal) error {
	return wrapError(e.Process.Kill(ctx, signal))
}

func (e loadedExec) Delete(ctx context.Context) (*containerd.ExitStatus, error) {
	status, err := e.Process.Delete(ctx)
	return status, wrapError(err)
}

func (e loadedExec) Status(ctx context.Context) (containerd.Status, error) {
	status, err := e.Process.Status(ctx)
	return status, wrapError(err)
}

// wrapError is libcontainerd's.
func wrapError(err error) error {
	if err == nil || cerrdefs.IsNotFound(err) {
		return err
	}
	for _, words := range []string{"container does not exist", "not found", "no such container"} {
		if strings.Contains(err.Error(), words) {
			return errdefs.NotFound(err)
		}
	}
	return err
}

// LoadProcess is containerd's Task.LoadProcess, without streams.
func (c *Core) LoadProcess(ctx context.Context, h uint64, id string) (Result, error) {
	task, p, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	if err := identifiers.Validate(id); err != nil { // an empty one would be the task's
		return Result{}, err
	}
	if id == p.container.id { // containerd's LoadProcess would return the task
		return Result{}, cerrdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q is the id of the task itself", id))
	}
	load := task.(interface {
		LoadProcess(context.Context, string, cio.Attach) (containerd.Process, error)
	})
	exec, err := load.LoadProcess(ctx, id, nil)
	if err != nil {
		return Result{}, wrapError(err)
	}
	found, err := p.container.client.daemon.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: p.container.id, ExecID: id})
	if err != nil {
		return Result{}, wrapError(errgrpc.ToNative(err))
	}
	return c.processResult(newProcess(p.container, loadedExec{exec, found.GetProcess().GetPid()})), nil
}

// Pids is Task.Pids.
func (c *Core) Pids(ctx context.Context, h uint64) (Result, error) {
	task, _, err := c.task(h)
	if err != nil {
		return Result{}, err
	}
	processes, err := task.Pids(ctx)
	if err != nil {
		return Result{}, err
	}
	type process struct {
		Pid    uint32    `json:"pid"`
		Info   *anyValue `json:"info"`
		ExecID *string   `json:"exec_id"`
	}
	out := make([]process, len(processes))
	for i, p := range processes {
		out[i].Pid = p.Pid
		if p.Info != nil {
			out[i].Info = &anyValue{p.Info.GetTypeUrl(), p.Info.GetValue()}
			if id := execID(p.Info); id != "" {
				out[i].ExecID = &id
			}
		}
	}
	return asJSON(out)
}

// execID returns the exec that a process belongs to, if its shim reports that, as runc's does.
func execID(info typeurl.Any) string {
	details, err := typeurl.UnmarshalAny(info)
	if known, ok := details.(*runcoptions.ProcessDetails); err == nil && ok {
		return known.GetExecID()
	}
	return ""
}
