package core

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	containerd "github.com/containerd/containerd/v2/client"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/moby/locker"
)

// counted is a task whose cgroup is gone, unless it has metrics.
type counted struct {
	libcontainerdtypes.Task
	id      string
	metrics any
}

func (c counted) Pid() uint32 { return 1 }
func (c counted) ID() string  { return c.id }
func (c counted) CloseIO(context.Context, ...containerd.IOCloserOpts) error {
	return errors.ErrUnsupported
}
func (c counted) Wait(context.Context) (<-chan containerd.ExitStatus, error) {
	exited := make(chan containerd.ExitStatus, 1)
	exited <- *containerd.NewExitStatus(137, time.Now(), nil)
	return exited, nil
}
func (c counted) Status(context.Context) (containerd.Status, error) {
	return containerd.Status{Status: containerd.Stopped}, nil
}
func (c counted) Stats(context.Context) (*libcontainerdtypes.Stats, error) {
	if c.metrics == nil {
		return nil, errors.New("no cgroup")
	}
	return &libcontainerdtypes.Stats{Metrics: c.metrics}, nil
}

// notATask is an exec.
type notATask struct{ libcontainerdtypes.Process }

func (notATask) Pid() uint32 { return 1 }

// A shim that is slow to count costs the answer, and not the exit status.
func TestASlowCountDoesNotHoldUpAWait(t *testing.T) {
	cl := lonely(t)
	cl.census = newCensus()
	p := newProcess(&Container{client: cl, id: "a"}, slow{counted{id: "a"}})
	h := cl.core.handles.Put(p)
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	result, err := cl.core.WaitProcess(ctx, h)
	if err != nil || result.Code != 137 || result.Detail != nil {
		t.Errorf("got %+v, %v", result, err)
	}
	p.close()
	<-p.settled
}

func TestASlowCountHoldsUpAWaitForLittle(t *testing.T) {
	cl := lonely(t)
	cl.census = newCensus()
	synctest.Test(t, func(t *testing.T) { // its clock moves on once all wait
		cl.ctx = t.Context() // the bubble's own
		p := newProcess(&Container{client: cl, id: "a"}, slow{counted{id: "a"}})
		defer p.close()
		begun := time.Now()
		result, err := cl.core.WaitProcess(context.Background(), cl.core.handles.Put(p))
		if took := time.Since(begun); err != nil || result.Code != 137 || took != oomTimeout {
			t.Errorf("got %+v, %v after %s", result, err, took)
		}
	})
}

// slow never counts.
type slow struct{ counted }

func (slow) Stats(ctx context.Context) (*libcontainerdtypes.Stats, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A task that runs may yet run out of memory: what its count says before it ends decides nothing.
func TestARefusedDeletionDoesNotDecideWhetherMemoryRanOut(t *testing.T) {
	cl := lonely(t)
	cl.census = newCensus()
	p := newProcess(&Container{client: cl, id: "a"}, runs{counted{id: "a", metrics: v1(0)}})
	if _, err := cl.core.DeleteProcess(t.Context(), cl.core.handles.Put(p)); !errors.Is(err, errRuns) {
		t.Fatal(err)
	}
	if p.oomKilled.Load() != nil {
		t.Error("it is decided")
	}
}

// runs is a task that has not ended.
type runs struct{ counted }

var errRuns = errors.New("task must be stopped before deletion")

func (runs) Wait(context.Context) (<-chan containerd.ExitStatus, error) { return nil, nil }
func (runs) Status(context.Context) (containerd.Status, error) {
	return containerd.Status{Status: containerd.Running}, nil
}
func (runs) Delete(context.Context) (*containerd.ExitStatus, error) {
	return nil, errRuns
}

func v1(kills uint64) any {
	return &cgroup1.Metrics{MemoryOomControl: &cgroup1.MemoryOomControl{OomKill: kills}}
}
func v2(kills uint64) any {
	return &cgroup2.Metrics{MemoryEvents: &cgroup2.MemoryEvents{OomKill: kills}}
}

func TestWhatIsKnownOfATaskThatRanOutOfMemory(t *testing.T) {
	const unknown, yes, no = "", `{"oom_killed":true}`, `{"oom_killed":false}`
	for name, c := range map[string]struct {
		metrics any
		events  []string
		want    string
	}{
		"no event and no count":                {nil, nil, unknown},
		"a shim with metrics of its own":       {"none", nil, unknown},
		"no memory controller, v1":             {&cgroup1.Metrics{}, nil, unknown},
		"no memory controller, v2":             {&cgroup2.Metrics{}, nil, unknown},
		"a count of 0, v1":                     {v1(0), nil, no},
		"a count of 0, v2":                     {v2(0), nil, no},
		"a count, whose event is late or lost": {v1(2), nil, yes},
		"a count of v2's":                      {v2(1), nil, yes},
		"an event, the cgroup gone":            {nil, []string{"a"}, yes},
		"an event, as docker has it":           {v1(0), []string{"a"}, yes},
		"another container's event":            {nil, []string{"b"}, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			cl := lonely(t)
			cl.census, cl.order = newCensus(), locker.New()
			cl.deaf.Store(true)
			p := newProcess(&Container{client: cl, id: "a"}, counted{id: "a", metrics: c.metrics})
			h := cl.core.handles.Put(p)
			for _, id := range c.events {
				if err := cl.ProcessEvent(id, libcontainerdtypes.EventOOM, libcontainerdtypes.EventInfo{ContainerID: id}); err != nil {
					t.Fatal(err)
				}
			}
			result, err := cl.core.WaitProcess(t.Context(), h)
			if err != nil || string(result.Detail) != c.want {
				t.Errorf("got %q, %v; want %q", result.Detail, err, c.want)
			}
		})
	}
}

// An event of the container is no news of its execs, not even of one that has the container's id.
func TestAnEventIsNotOfAnExec(t *testing.T) {
	cl := lonely(t)
	p := newProcess(&Container{client: cl, id: "a"}, notATask{})
	cl.core.handles.Put(p)
	cl.noteOOM("a")
	if p.oomKilled.Load() != nil {
		t.Error("the exec is marked")
	}
}
