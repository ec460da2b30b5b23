package core

import (
	"context"
	"time"

	// Stats decodes only what is registered: what these two packages have.
	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	containerd "github.com/containerd/containerd/v2/client"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// dockerd sets a container's OOMKilled when EventOOM comes, and its exit leaves that as it is. But the shim sends the event
// apart from the exit's, so that it may come later, and it may be lost. The kernel counts what it kills before it kills, and
// the count stays until the task is deleted: where no event has come by the exit, the count decides.

// oomTimeout bounds the question for the count, which comes on top of a call's own work.
const oomTimeout = time.Second

// noteOOM marks the tasks of a container for which EventOOM has come.
func (cl *Client) noteOOM(container string) {
	killed := true
	for _, object := range cl.core.handles.All() {
		if p, ok := object.(*Process); ok && p.container.client == cl && p.container.id == container && p.isTask() {
			p.oomKilled.Store(&killed)
		}
	}
}

// learnOOM asks for the count of a task that has ended, unless the answer is known. It remains unknown of an exec, since the
// count is the whole container's, and of a task that is deleted.
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

// learnOOMBeforeDelete is learnOOM for a task that may run still.
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
