package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
)

// place is where a scenario runs.
type place struct {
	Address, Rootfs, Base, Dir, Namespace string
}

// state is libcontainerd's state directory there.
func (p place) state() string { return filepath.Join(p.Dir, "state") }

// values are what a scenario can name.
func (p place) values() map[string]string {
	return map[string]string{
		"dir": p.Dir, "state": p.state(), "rootfs": p.Rootfs, "namespace": p.Namespace, "address": p.Address,
	}
}

// runcRoots lies in the state directory and is runc's own.
const runcRoots = ".runc"

// disk lists the state directory but for what is runc's: each entry's kind, mode, owner and path.
func (p place) disk() []string {
	entries := []string{}
	_ = filepath.WalkDir(p.state(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == p.state() {
			return nil
		}
		if entry.Name() == runcRoots {
			return fs.SkipDir
		}
		info, err := entry.Info()
		if err != nil {
			return nil // removed meanwhile
		}
		owner := info.Sys().(*syscall.Stat_t)
		name, _ := filepath.Rel(p.state(), path)
		entries = append(entries, fmt.Sprintf("%s %d:%d %s", info.Mode(), owner.Uid, owner.Gid, name))
		return nil
	})
	return entries
}

// observed is a daemon as the observer sees it, by a client of its own for each look.
type observed struct {
	*containerd.Client
	ctx    context.Context
	cancel context.CancelFunc
}

func (p place) observe() (*observed, error) {
	conn, err := net.DialTimeout("unix", p.Address, time.Second)
	if err != nil {
		return nil, err
	}
	_ = conn.Close()
	client, err := containerd.New(p.Address, containerd.WithDefaultNamespace(p.Namespace), containerd.WithTimeout(10*time.Second))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	return &observed{client, ctx, cancel}, nil
}

func (o *observed) close() {
	o.cancel()
	_ = o.Client.Close()
}

// brief is what is looked at after each step: what the disk has, and which containers and tasks there are.
func (p place) brief(own *ownDaemon) object {
	seen := object{"disk": p.disk()}
	if own != nil && own.frozen {
		seen["daemon"] = "frozen"
		return seen
	}
	o, err := p.observe()
	if err != nil {
		seen["daemon"] = "away"
		return seen
	}
	defer o.close()
	ids := []string{}
	all, err := o.ContainerService().List(o.ctx)
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	seen["containers"] = ids
	running := []string{}
	list, listed := o.TaskService().List(o.ctx, &tasks.ListTasksRequest{})
	for _, t := range list.GetTasks() {
		running = append(running, t.ID)
	}
	slices.Sort(running)
	seen["tasks"] = running
	for _, err := range []error{err, listed} {
		if err != nil {
			seen["observer"] = err.Error()
		}
	}
	return seen
}

// full is all that containerd keeps of the containers, and their tasks' states.
func (p place) full() object {
	seen := object{"disk": p.disk()}
	o, err := p.observe()
	if err != nil {
		seen["daemon"] = "away"
		return seen
	}
	defer o.close()
	all, err := o.ContainerService().List(o.ctx)
	if err != nil {
		seen["observer"] = err.Error()
	}
	kept := object{}
	for _, c := range all {
		kept[c.ID] = containerOf(c)
	}
	seen["containers"] = kept
	list, err := o.TaskService().List(o.ctx, &tasks.ListTasksRequest{})
	if err != nil {
		seen["observer"] = err.Error()
	}
	running := object{}
	for _, t := range list.GetTasks() {
		running[t.ID] = object{
			"status": t.Status.String(), "pid": t.Pid, "exit_status": t.ExitStatus, "exited_at": timeOf(t.ExitedAt.AsTime()),
			"stdin": t.Stdin, "stdout": t.Stdout, "stderr": t.Stderr, "terminal": t.Terminal,
		}
	}
	seen["tasks"] = running
	seen["content"], seen["images"], seen["leases"] = o.stored()
	return seen
}

func containerOf(c containers.Container) object {
	extensions := object{}
	for name, value := range c.Extensions {
		extensions[name] = anyOf(value)
	}
	return object{
		"labels": c.Labels, "image": c.Image, "snapshotter": c.Snapshotter, "snapshot": c.SnapshotKey,
		"sandbox": c.SandboxID, "runtime": c.Runtime.Name, "runtime_options": anyOf(c.Runtime.Options),
		"extensions": extensions, "spec": anyOf(c.Spec),
	}
}

// anyOf prints a typed value: as what it is where its type is known, as the JSON that it holds otherwise.
func anyOf(value typeurl.Any) any {
	if value == nil || value.GetTypeUrl() == "" {
		return nil
	}
	if strings.HasSuffix(value.GetTypeUrl(), "runc.v1.Options") {
		var options runcoptions.Options
		if err := typeurl.UnmarshalTo(value, &options); err == nil {
			return object{"type": value.GetTypeUrl(), "value": options.String()}
		}
	}
	var plain any
	if err := json.Unmarshal(value.GetValue(), &plain); err != nil {
		plain = textOf(value.GetValue())
	}
	return object{"type": value.GetTypeUrl(), "value": plain}
}

// stored counts what lies in the content store, and names images; a checkpoint passes through both.
func (o *observed) stored() (blobs int, images []string, leases int) {
	_ = o.ContentStore().Walk(o.ctx, func(content.Info) error { blobs++; return nil })
	images = []string{}
	if list, err := o.ImageService().List(o.ctx); err == nil {
		for _, image := range list {
			images = append(images, image.Name)
		}
	}
	if list, err := o.LeasesService().List(o.ctx); err == nil {
		leases = len(list)
	}
	return blobs, images, leases
}

// clear deletes what a scenario has left, its namespace too.
func (p place) clear() error {
	o, err := p.observe()
	if err != nil {
		return err
	}
	defer o.close()
	all, err := o.Containers(o.ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if task, err := c.Task(o.ctx, nil); err == nil {
			_ = task.Resume(o.ctx)
			if _, err := task.Delete(o.ctx, containerd.WithProcessKill); err != nil && !cerrdefs.IsNotFound(err) {
				return err
			}
		}
		if err := c.Delete(o.ctx); err != nil && !cerrdefs.IsNotFound(err) {
			return err
		}
	}
	_ = o.NamespaceService().Delete(o.ctx, p.Namespace) // refused while something lies in it
	return nil
}
