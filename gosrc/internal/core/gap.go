package core

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// EventGap is an event that libcontainerd does not have. After losing the daemon, libcontainerd silently resubscribes, and the
// events of that time are lost. EventGap reports that; the exits that containerd reports when asked follow it.
const EventGap = "gap"

// gapTimeout bounds the time to ask containerd what ended in a gap.
const gapTimeout = 30 * time.Second

// list asks containerd for the namespace's tasks, for the census.
func (cl *Client) list(ctx context.Context, since time.Time) {
	response, err := cl.daemon.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(errgrpc.ToNative(err)).Warn("failed to list tasks; a gap in the events may hide exits")
	}
	cl.census.count(response.GetTasks(), since)
}

// starting is census.begin. If events were lost meanwhile, it asks containerd whether the process has ended.
func (cl *Client) starting(name processName) (started func(pid uint32)) {
	end := cl.census.begin(name)
	return func(pid uint32) {
		if end(pid) {
			cl.use(func() { cl.tellEnds(cl.findEnds()) })
		}
	}
}

// tellGap reports a gap before any later event, and then the exits in it. It asks containerd while the gap is being handled:
// what ended may be deleted meanwhile.
func (cl *Client) tellGap(lost loss) {
	wait := func() error { return nil }
	if !cl.deaf.Load() {
		gap := Event{Cookie: cl.cookie, Type: EventGap, ExitedAt: lost.since, Error: lost.cause, Origin: Recovered}
		wait = cl.core.deliveries.begin(gap, cl.ctx.Done())
	}
	cl.census.open()
	if !cl.use(func() {
		ctx, cancel := context.WithTimeout(cl.ctx, gapTimeout)
		defer cancel()
		cl.list(ctx, lost.heard)
		exits := cl.findEnds()
		_ = wait()
		cl.tellEnds(exits)
	}) {
		_ = wait()
	}
}

// tellEnds reports exits by container. A slow handler delays only those of its own container, and no other gap's. Once the
// client is closed, it does not wait for handlers that are still running.
func (cl *Client) tellEnds(exits map[string][]Event) {
	var group sync.WaitGroup
	for _, events := range exits {
		spawnIn(&group, func() {
			for _, event := range events {
				_ = cl.tell(event)
			}
		})
	}
	told := make(chan struct{})
	spawn(func() {
		group.Wait()
		close(told)
	})
	select {
	case <-told:
	case <-cl.ctx.Done():
	}
}

// findEnds returns the exits still to be reported, by container and in order. It asks containerd only where it must.
func (cl *Client) findEnds() map[string][]Event {
	ctx, cancel := context.WithTimeout(cl.ctx, gapTimeout)
	defer cancel()
	exits := map[string][]Event{}
	for key, status := range cl.census.all() {
		if exit, ended := cl.end(ctx, key, status); ended {
			exits[key.container] = append(exits[key.container], exit)
		}
	}
	for _, events := range exits {
		slices.SortFunc(events, func(a, b Event) int { return a.ExitedAt.Compare(b.ExitedAt) })
	}
	return exits
}

// end returns the exit of a process, if it has ended.
func (cl *Client) end(ctx context.Context, key processKey, status *containerd.ExitStatus) (exit Event, ended bool) {
	exit = Event{
		Type: string(libcontainerdtypes.EventExit), Origin: Recovered,
		ContainerID: key.container, ProcessID: key.process, Pid: key.pid,
	}
	if status != nil {
		exit.ExitCode, exit.ExitedAt = status.ExitCode(), status.ExitTime()
		return exit, true
	}
	request := &tasks.GetRequest{ContainerID: key.container}
	if key.process != key.container {
		request.ExecID = key.process
	}
	response, err := cl.daemon.TaskService().Get(ctx, request)
	if found := response.GetProcess(); err != nil {
		err = errgrpc.ToNative(err)
	} else if found.Pid == key.pid || found.Pid == 0 { // without a pid its shim did not answer
		exit.ExitCode, exit.ExitedAt = found.ExitStatus, found.ExitedAt.AsTime()
		return exit, found.Status == task.Status_STOPPED
	} else {
		err = cerrdefs.ErrNotFound.WithMessage(fmt.Sprintf("process %d not found", key.pid))
	}
	if cerrdefs.IsNotFound(err) {
		exit.ExitCode, exit.Error = containerd.UnknownExitStatus, err
		return exit, true
	}
	log.G(ctx).WithError(err).WithField("container", key.container).Warn("failed to learn whether a process ended in a gap in the events")
	return exit, false
}
