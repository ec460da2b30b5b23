package core

import (
	"context"
	"time"

	// Stats decodes only registered types: those of these two packages.
	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	containerd "github.com/containerd/containerd/v2/client"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// dockerd sets a container's OOMKilled when EventOOM comes, and the exit leaves it unchanged. But the shim sends this event
// separately from the exit's, so it may come later or be lost. The kernel counts an OOM kill before it kills, and the count
// lasts until the task is deleted: if no event has come by the exit, the count decides.

// oomTimeout bounds the query for the count, which adds to a call's own work.
const oomTimeout = time.Second

// noteOOM marks a container's tasks when EventOOM comes.
func (cl *Client) noteOOM(container string) {
	killed := true
	for _, object := range cl.core.handles.All() {
		if p, ok := object.(*Process); ok && p.container.client == cl && p.container.id == container && p.isTask() {
			p.oomKilled.Store(&killed)
		}
	}
}

// learnOOM queries the count of an ended task, unless the answer is known. The answer stays unknown for an exec, since the
// count covers the whole container, and for a deleted task.
func (p *Process) learnOOM(ctx context.Context) {
	if !p.isTask() || p.oomKilled.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, oomTimeout)
	defer cancel()
	stats, err := p.moby.(libcontainerdtypes.Task).Stats(ctx)
	if err != nil {
		return
	}
	if count, known := oomKills(stats.Metrics); known {
		killed := count > 0
		p.oomKilled.CompareAndSwap(nil, &killed)
	}
}

// learnOOMBeforeDelete is learnOOM for a task that may still be running.
func (p *Process) learnOOMBeforeDelete(ctx context.Context) {
	select {
	case <-p.settled:
		return
	default:
	}
	if status, err := p.moby.(embedded).Status(ctx); err == nil && status.Status == containerd.Stopped {
		p.learnOOM(ctx)
	}
}

func oomKills(metrics any) (count uint64, known bool) {
	switch m := metrics.(type) {
	case *cgroup1.Metrics:
		return m.GetMemoryOomControl().GetOomKill(), m.GetMemoryOomControl() != nil
	case *cgroup2.Metrics:
		return m.GetMemoryEvents().GetOomKill(), m.GetMemoryEvents() != nil
	}
	return 0, false
}
