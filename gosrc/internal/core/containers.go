package core

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
)

// containerInfo is what containerd stores of a container, as pyctd_client_containers answers with it.
type containerInfo struct {
	ID          string            `json:"id"`
	Labels      map[string]string `json:"labels"`
	Image       string            `json:"image"`
	Runtime     string            `json:"runtime"`
	Snapshotter string            `json:"snapshotter"`
	SnapshotKey string            `json:"snapshot_key"`
	SandboxID   string            `json:"sandbox_id"`
	CreatedAt   [2]int64          `json:"created_at"`
	UpdatedAt   [2]int64          `json:"updated_at"`
	Spec        json.RawMessage   `json:"spec"`
}

// Containers is containerd's own list, of which libcontainerd has none. filters: a JSON array in containerd's syntax;
// empty is none.
func (c *Core) Containers(ctx context.Context, h uint64, filters []byte) (Result, error) {
	cl, err := c.client(h)
	if err != nil {
		return Result{}, err
	}
	chosen, err := parseFilters(filters)
	if err != nil {
		return Result{}, err
	}
	stored, err := cl.daemon.ContainerService().List(ctx, chosen...)
	if err != nil {
		return Result{}, err
	}
	infos := make([]containerInfo, len(stored))
	for i, one := range stored {
		infos[i] = infoOf(one)
	}
	return asJSON(infos)
}

func parseFilters(data []byte) (chosen []string, err error) {
	if len(data) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(data, &chosen); err != nil {
		return nil, invalid(fmt.Errorf("filters: %w", err))
	}
	return chosen, nil
}

func infoOf(stored containers.Container) containerInfo {
	info := containerInfo{
		ID: stored.ID, Labels: stored.Labels, Image: stored.Image, Runtime: stored.Runtime.Name,
		Snapshotter: stored.Snapshotter, SnapshotKey: stored.SnapshotKey, SandboxID: stored.SandboxID,
		CreatedAt: secondsOf(stored.CreatedAt), UpdatedAt: secondsOf(stored.UpdatedAt),
	}
	if info.Labels == nil {
		info.Labels = map[string]string{}
	}
	// Clients keep OCI specs as JSON, but containerd takes anything.
	if stored.Spec != nil && json.Valid(stored.Spec.GetValue()) {
		info.Spec = stored.Spec.GetValue()
	}
	return info
}

func secondsOf(t time.Time) [2]int64 {
	if t.IsZero() {
		return [2]int64{}
	}
	return [2]int64{t.Unix(), int64(t.Nanosecond())}
}
