package core

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/libcontainerd/remote"
)

// containerInfo is what containerd stores about a container: the answer of pyctd_client_containers and pyctd_container_info.
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

	Extensions map[string]anyValue `json:"extensions"`
}

// anyValue is a protobuf Any.
type anyValue struct {
	TypeURL string `json:"type_url"`
	Value   []byte `json:"value"`
}

// ContainerInfo is containerd's Container.Info, which libcontainerd lacks.
func (c *Core) ContainerInfo(ctx context.Context, h uint64) (Result, error) {
	_, stored, err := c.stored(ctx, h)
	if err != nil {
		return Result{}, err
	}
	info, err := stored.Info(ctx, containerd.WithoutRefreshedMetadata)
	if err != nil {
		return Result{}, err
	}
	return asJSON(infoOf(info))
}

// SetLabels is containerd's Container.SetLabels. labels: a JSON object; an empty value removes a label, as in containerd.
func (c *Core) SetLabels(ctx context.Context, h uint64, data []byte) (Result, error) {
	var labels map[string]string
	if err := parseObject("labels", data, &labels); err != nil {
		return Result{}, err
	}
	ctr, stored, err := c.stored(ctx, h)
	if err != nil {
		return Result{}, err
	}
	// libcontainerd removes the directory that this label names.
	if path, given := labels[remote.DockerContainerBundlePath]; given && path != ctr.bundle {
		return Result{}, cerrdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("label %s belongs to libcontainerd and can't be changed", remote.DockerContainerBundlePath))
	}
	if len(labels) == 0 { // containerd takes an update that names no field as one of all fields
		labels, err = stored.Labels(ctx)
	} else {
		labels, err = stored.SetLabels(ctx, labels)
	}
	if err != nil {
		return Result{}, err
	}
	if labels == nil {
		labels = map[string]string{}
	}
	return asJSON(labels)
}

// stored is containerd's own object of a container, fresh from the daemon: libcontainerd hides its own.
func (c *Core) stored(ctx context.Context, h uint64) (*Container, containerd.Container, error) {
	ctr, err := c.container(h)
	if err != nil {
		return nil, nil, err
	}
	stored, err := ctr.client.daemon.LoadContainer(ctx, ctr.id)
	return ctr, stored, err
}

// Containers is containerd's own list, which libcontainerd lacks. filters: a JSON array in containerd's syntax; empty for none.
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
	info.Extensions = make(map[string]anyValue, len(stored.Extensions))
	for name, extension := range stored.Extensions {
		info.Extensions[name] = anyValue{extension.GetTypeUrl(), extension.GetValue()}
	}
	// Clients store OCI specs as JSON, but containerd accepts anything.
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
