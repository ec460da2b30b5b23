package core

import (
	"context"
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

// EventGap is an event that libcontainerd has not. It subscribes anew when the daemon was away, and what happened
// meanwhile is lost without a word; this says that it was, and is followed by the exits that containerd tells of when asked.
const EventGap = "gap"

// gapTimeout is how long containerd is asked what ended in a gap.
const gapTimeout = 30 * time.Second

type processKey struct{ container, process string }

// census is which processes run, as far as events, containerd and the client's own starts have told.
type census struct {
	mu      sync.Mutex
	running map[processKey]*member
	starts  map[processKey]*starting
	early   map[processKey]struct{} // what exited while containerd was first asked; nil afterwards
	gaps    int                     // that are open or being told
	seen    map[processKey]uint32   // whose exits came or were told meanwhile, with their pids; else nil
	told    map[processKey]uint32   // whose exits were told of the last gap, and may come yet
}

type member struct {
	pid    uint32
	status *containerd.ExitStatus // what Wait or Delete has told, whose event has not come
}

// starting is what the client is about to start.
type starting struct {
	count int
	told  []uint32 // the pids of which events have told meanwhile
}

func newCensus() census {
	return census{
		running: map[processKey]*member{}, starts: map[processKey]*starting{}, early: map[processKey]struct{}{},
		told: map[processKey]uint32{},
	}
}

// begin notes that the client starts a process, and what it returns that it runs, or with 0 that it does not: its events
// may be lost, both of them.
func (c *census) begin(key processKey) (end func(pid uint32)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.starts[key]
	if one == nil {
		one = &starting{}
		c.starts[key] = one
	}
	one.count++
	return func(pid uint32) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if one.count--; one.count == 0 {
			delete(c.starts, key)
		}
		if pid != 0 && !slices.Contains(one.told, pid) {
			c.running[key] = &member{pid: pid}
		}
	}
}

// see looks at an event that libcontainerd brings.
func (c *census) see(event Event) Origin {
	key := processKey{event.ContainerID, event.ProcessID}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch libcontainerdtypes.EventType(event.Type) {
	case libcontainerdtypes.EventStart, libcontainerdtypes.EventExecStarted:
		c.note(key, event.Pid)
		if one := c.running[key]; one == nil || one.pid != event.Pid {
			c.running[key] = &member{pid: event.Pid}
		}
	case libcontainerdtypes.EventExit:
		c.note(key, event.Pid)
		if pid, told := c.told[key]; told && pid == event.Pid {
			delete(c.told, key)
			c.drop(key, pid) // its start may have come late, too
			return Repeated
		}
		delete(c.running, key)
		if c.early != nil {
			c.early[key] = struct{}{}
		}
		if c.seen != nil {
			c.seen[key] = event.Pid
		}
	}
	return News
}

// note keeps that an event has told of a process that is being started. Called with the lock held.
func (c *census) note(key processKey, pid uint32) {
	if one := c.starts[key]; one != nil {
		one.told = append(one.told, pid)
	}
}

// drop notes that a process runs no more. Called with the lock held.
func (c *census) drop(key processKey, pid uint32) {
	if one := c.running[key]; one != nil && one.pid == pid {
		delete(c.running, key)
	}
}

// open begins a gap: when events end, for they may flow again before the gap is told.
func (c *census) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gaps++; c.gaps == 1 {
		c.seen = map[processKey]uint32{}
	}
}

// ask begins to tell a gap. A shim sends its event again for some seconds, so one that was asked for may come as well.
func (c *census) ask() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gaps == 1 { // else an earlier one is being told yet
		c.told = map[processKey]uint32{}
	}
}

// claim tells whether the exit of a process that was asked for is news, which its event is not from now on; but where
// containerd has forgotten how it ended, the event is.
func (c *census) claim(exit Event) bool {
	key := processKey{exit.ContainerID, exit.ProcessID}
	c.mu.Lock()
	defer c.mu.Unlock()
	if pid, seen := c.seen[key]; seen && pid == exit.Pid {
		return false
	}
	c.seen[key] = exit.Pid // another gap may have asked for it, too
	c.drop(key, exit.Pid)
	if exit.Error == nil {
		c.told[key] = exit.Pid
	}
	return true
}

// shut ends what open has begun.
func (c *census) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gaps--; c.gaps == 0 {
		c.seen = nil
	}
}

// exited notes what was told otherwise than by an event.
func (c *census) exited(key processKey, status *containerd.ExitStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.running[key]; one != nil {
		one.status = status
	}
}

// count adds the tasks that containerd has. It returns those that ended since, and are not known to have run.
func (c *census) count(list []*task.Process, since time.Time) (ended []*task.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range list {
		key := processKey{one.ID, one.ID}
		if _, known := c.running[key]; known {
			continue
		}
		if one.Status == task.Status_STOPPED {
			if !since.IsZero() && !one.ExitedAt.AsTime().Before(since) {
				ended = append(ended, one)
			}
		} else if _, exited := c.early[key]; !exited {
			c.running[key] = &member{pid: one.Pid}
		}
	}
	c.early = nil
	return ended
}

func (c *census) all() map[processKey]member {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[processKey]member, len(c.running))
	for key, one := range c.running {
		all[key] = *one
	}
	return all
}

// list asks containerd for the namespace's tasks.
func (cl *Client) list(ctx context.Context, since time.Time) []*task.Process {
	response, err := cl.daemon.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		if ctx.Err() == nil {
			log.G(ctx).WithError(errgrpc.ToNative(err)).Warn("failed to list tasks; those that a gap in the events will hide are not known")
		}
		return nil
	}
	return cl.census.count(response.Tasks, since)
}

// tellGap tells of a gap, before any event that comes after it, and then of what ended in it.
func (cl *Client) tellGap(lost loss) {
	wait := func(<-chan struct{}) error { return nil }
	if !cl.deaf.Load() {
		wait = cl.core.dispatcher.put(Event{Cookie: cl.cookie, Type: EventGap, ExitedAt: lost.since, Error: lost.cause, Origin: Recovered})
	}
	if !cl.use(func() {
		_ = wait(cl.ctx.Done())
		cl.tellEnds(lost.heard)
	}) {
		_ = wait(cl.ctx.Done())
	}
}

// tellEnds tells of what ended since the last event, by what containerd says when asked. A handler that is slow keeps its
// own container's exits waiting, and no other's, nor those of the next gap.
func (cl *Client) tellEnds(since time.Time) {
	defer cl.census.shut()
	var group sync.WaitGroup
	for _, events := range cl.findEnds(since) {
		group.Go(func() {
			for _, event := range events {
				_ = cl.tell(event)
			}
		})
	}
	group.Wait()
}

// findEnds asks containerd what ended since the last event: the exits of each container.
func (cl *Client) findEnds(since time.Time) map[string][]Event {
	cl.gaps.Lock()
	defer cl.gaps.Unlock()
	cl.census.ask()
	ctx, cancel := context.WithTimeout(cl.ctx, gapTimeout)
	defer cancel()
	exits := map[string][]Event{}
	for key, one := range cl.census.all() {
		if exit, ended := cl.end(ctx, key, one); ended {
			exits[key.container] = append(exits[key.container], exit)
		}
	}
	for _, one := range cl.list(ctx, since) {
		exits[one.ID] = append(exits[one.ID], exitOf(processKey{one.ID, one.ID}, one))
	}
	return exits
}

// end is the exit of a process that did run, if it does not any more.
func (cl *Client) end(ctx context.Context, key processKey, known member) (exit Event, ended bool) {
	exit = Event{
		Type: string(libcontainerdtypes.EventExit), Origin: Recovered,
		ContainerID: key.container, ProcessID: key.process, Pid: known.pid,
	}
	if known.status != nil {
		exit.ExitCode, exit.ExitedAt = known.status.ExitCode(), known.status.ExitTime()
		return exit, true
	}
	request := &tasks.GetRequest{ContainerID: key.container}
	if key.process != key.container {
		request.ExecID = key.process
	}
	response, err := cl.daemon.TaskService().Get(ctx, request)
	if err != nil {
		err = errgrpc.ToNative(err)
		if cerrdefs.IsNotFound(err) {
			exit.ExitCode, exit.Error = containerd.UnknownExitStatus, err
			return exit, true
		}
		log.G(ctx).WithError(err).WithField("container", key.container).Warn("failed to learn whether a process ended in a gap in the events")
		return exit, false
	}
	return exitOf(key, response.Process), response.Process.Status == task.Status_STOPPED
}

func exitOf(key processKey, p *task.Process) Event {
	return Event{
		Type: string(libcontainerdtypes.EventExit), Origin: Recovered,
		ContainerID: key.container, ProcessID: key.process, Pid: p.Pid, ExitCode: p.ExitStatus, ExitedAt: p.ExitedAt.AsTime(),
	}
}
