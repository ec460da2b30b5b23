package core

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// lateness is how long after a gap the event of an exit in it may still arrive. A shim retries for some seconds.
const lateness = time.Minute

// processName is a process by its ids, which its successors may reuse.
type processName struct{ container, process string }

// processKey is a process by its ids and its pid, and so unique.
type processKey struct {
	container, process string
	pid                uint32
}

func (n processName) with(pid uint32) processKey { return processKey{n.container, n.process, pid} }

func keyOf(event Event) processKey {
	return processKey{event.ContainerID, event.ProcessID, event.Pid}
}

// census tracks the processes whose exits are still to be reported. It knows them from events, from the client's own starts and
// from containerd's list.
type census struct {
	mu      sync.Mutex
	running map[processKey]*containerd.ExitStatus // not nil once Wait, Delete or the list has reported how it ended
	starts  map[processName]*starting
	told    map[processKey]toldExit // exits reported after a gap, whose events may still come
	asking  int                     // lists of containerd's tasks under way
	seen    map[processKey]struct{} // exits that events reported meanwhile
	gaps    int                     // gaps after which events flowed again
}

// toldExit is an exit that was reported without an event.
type toldExit struct {
	at      time.Time
	certain bool // with the exit code
}

// starting is a process that the client is starting, perhaps several times at once.
type starting struct {
	count int
	ended []uint32 // pids whose exits events told meanwhile
}

// newCensus returns one that awaits containerd's first list.
func newCensus() census {
	return census{
		running: map[processKey]*containerd.ExitStatus{}, starts: map[processName]*starting{}, told: map[processKey]toldExit{},
		asking: 1, seen: map[processKey]struct{}{},
	}
}

// begin notes that the client starts a process. end takes its pid, or 0 if the start failed. It reports whether events
// were lost meanwhile: those of this process, too, may have been.
func (c *census) begin(name processName) (end func(pid uint32) (lost bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.starts[name]
	if one == nil {
		one = &starting{}
		c.starts[name] = one
	}
	one.count++
	gaps := c.gaps
	return func(pid uint32) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if one.count--; one.count == 0 {
			delete(c.starts, name)
		}
		if pid == 0 || slices.Contains(one.ended, pid) {
			return false
		}
		c.add(name.with(pid))
		return c.gaps != gaps
	}
}

// add notes that a process runs. Called with the lock held.
func (c *census) add(key processKey) {
	if _, known := c.running[key]; !known {
		c.running[key] = nil
	}
}

// see takes note of an event that libcontainerd brings.
func (c *census) see(event Event) Origin {
	key := keyOf(event)
	c.mu.Lock()
	defer c.mu.Unlock()
	exit, told := c.told[key]
	switch libcontainerdtypes.EventType(event.Type) {
	case libcontainerdtypes.EventStart, libcontainerdtypes.EventExecStarted:
		if told { // it has waited behind a slow handler; after its exit the process would seem to run for ever
			return Repeated
		}
		c.add(key)
	case libcontainerdtypes.EventExit:
		delete(c.running, key)
		if one := c.starts[processName{key.container, key.process}]; one != nil {
			one.ended = append(one.ended, key.pid)
		}
		if c.asking > 0 {
			c.seen[key] = struct{}{}
		}
		delete(c.told, key)
		if exit.certain {
			return Repeated
		}
	}
	return News
}

// open starts a question to containerd for its tasks, at the first event after a gap; count ends it.
func (c *census) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking++
	c.gaps++
	maps.DeleteFunc(c.told, func(_ processKey, exit toldExit) bool { return time.Since(exit.at) > lateness })
}

// count takes in containerd's tasks: the running ones, and those that ended since. The list may be older than an event.
func (c *census) count(list []*task.Process, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range list {
		key := processKey{one.ID, one.ID, one.Pid}
		_, seen := c.seen[key]
		told := c.told[key].certain
		status, known := c.running[key]
		switch {
		case one.Pid == 0 || seen || told: // without a pid its shim did not answer
		case one.Status != task.Status_STOPPED:
			c.add(key)
		case status == nil && (known || !since.IsZero() && !one.ExitedAt.AsTime().Before(since)):
			c.running[key] = containerd.NewExitStatus(one.ExitStatus, one.ExitedAt.AsTime(), nil)
		}
	}
	if c.asking--; c.asking == 0 {
		c.seen = map[processKey]struct{}{}
	}
}

// exited notes how a process ended, as Wait or Delete reported; its event may be lost.
func (c *census) exited(key processKey, status *containerd.ExitStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.running[key]; known {
		c.running[key] = status
	}
}

// claim reports whether a recovered exit is still to be reported, and marks it as reported. If containerd has forgotten how the
// process ended, exit gets what Wait or Delete has learnt; without that, the exit's own event still counts as news.
func (c *census) claim(exit *Event) bool {
	key := keyOf(*exit)
	c.mu.Lock()
	defer c.mu.Unlock()
	status, due := c.running[key]
	if !due {
		return false
	}
	delete(c.running, key)
	if status != nil {
		exit.ExitCode, exit.ExitedAt, exit.Error = status.ExitCode(), status.ExitTime(), nil
	}
	c.told[key] = toldExit{at: time.Now(), certain: exit.Error == nil}
	return true
}

func (c *census) all() map[processKey]*containerd.ExitStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.running)
}
