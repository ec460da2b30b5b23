package main

import (
	"context"
	"encoding/json"
	"os"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/docker/docker/libcontainerd"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// steps are the operations that a scenario can name.
var steps map[string]func(*runner, context.Context, arguments) (any, error)

func init() {
	steps = map[string]func(*runner, context.Context, arguments) (any, error){
		"version":           (*runner).version,
		"new_container":     (*runner).newContainer,
		"replace_container": (*runner).replaceContainer,
		"load_container":    (*runner).loadContainer,
		"delete_container":  (*runner).deleteContainer,
		"new_task":          (*runner).newTask,
		"start":             (*runner).start,
		"task":              (*runner).task,
		"attach_task":       (*runner).attachTask,
		"exec":              (*runner).exec,
		"task_start":        onTask(func(ctx context.Context, t libcontainerdtypes.Task, a arguments) error { return t.Start(ctx) }),
		"pause":             onTask(func(ctx context.Context, t libcontainerdtypes.Task, a arguments) error { return t.Pause(ctx) }),
		"resume":            onTask(func(ctx context.Context, t libcontainerdtypes.Task, a arguments) error { return t.Resume(ctx) }),
		"force_delete":      onTask(func(ctx context.Context, t libcontainerdtypes.Task, a arguments) error { return t.ForceDelete(ctx) }),
		"create_checkpoint": onTask(func(ctx context.Context, t libcontainerdtypes.Task, a arguments) error {
			return t.CreateCheckpoint(ctx, a.Path, a.Exit)
		}),
		"update_resources": onTask(func(ctx context.Context, t libcontainerdtypes.Task, a arguments) error {
			var resources libcontainerdtypes.Resources
			if err := json.Unmarshal(a.Resources, &resources); err != nil {
				return mistake("%v", err)
			}
			return t.UpdateResources(ctx, &resources)
		}),
		"kill": onProcess(func(ctx context.Context, p *proc, a arguments) (any, error) {
			return nil, p.Kill(ctx, syscall.Signal(a.Signal))
		}),
		"resize": onProcess(func(ctx context.Context, p *proc, a arguments) (any, error) {
			return nil, p.Resize(ctx, a.Width, a.Height)
		}),
		"delete": onProcess(func(ctx context.Context, p *proc, a arguments) (any, error) {
			status, err := p.Delete(ctx)
			if err != nil {
				return nil, err
			}
			p.exit.keep(*status)
			return exitOf(*status), nil
		}),
		"wait":           onProcess(wait),
		"status":         onProcess(statusOf),
		"close_stdin":    onProcess(closeStdin),
		"stats":          (*runner).stats,
		"pids":           (*runner).pids,
		"summary":        (*runner).summary,
		"write":          onProcess(write),
		"close_stream":   onProcess(closeStream),
		"read":           onProcess(read),
		"output":         onProcess(output),
		"events":         (*runner).printEvents,
		"probe":          (*runner).probe,
		"observe":        func(r *runner, _ context.Context, _ arguments) (any, error) { return r.place.full(), nil },
		"parallel":       (*runner).parallel,
		"join":           (*runner).join,
		"make_directory": func(_ *runner, _ context.Context, a arguments) (any, error) { return nil, os.MkdirAll(a.Path, 0o755) },
		"remove":         func(_ *runner, _ context.Context, a arguments) (any, error) { return nil, os.RemoveAll(a.Path) },
		"write_file":     writeFile,
		"chattr":         chattr,
		"list":           list,
		"kill_shim":      onProcess(killShim),
		"daemon_kill":    daemonStep("daemon_kill"),
		"daemon_start":   daemonStep("daemon_start"),
		"daemon_freeze":  daemonStep("daemon_freeze"),
		"daemon_thaw":    daemonStep("daemon_thaw"),
		"close_client":   (*runner).closeClient,
		"open_client":    func(r *runner, ctx context.Context, _ arguments) (any, error) { return nil, r.open(ctx) },
	}
}

// or is the first of two that is given.
func or(given, otherwise string) string {
	if given != "" {
		return given
	}
	return otherwise
}

func (r *runner) container(name string) (libcontainerdtypes.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.containers[name]; ok {
		return c, nil
	}
	return nil, mistake("there is no container %q", name)
}

func (r *runner) process(name string) (*proc, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.processes[name]; ok {
		return p, nil
	}
	return nil, mistake("there is no process %q", name)
}

func onProcess(method func(context.Context, *proc, arguments) (any, error)) func(*runner, context.Context, arguments) (any, error) {
	return func(r *runner, ctx context.Context, a arguments) (any, error) {
		p, err := r.process(a.Of)
		if err != nil {
			return nil, err
		}
		return method(ctx, p, a)
	}
}

func (r *runner) taskOf(name string) (libcontainerdtypes.Task, error) {
	p, err := r.process(name)
	if err != nil {
		return nil, err
	}
	task, ok := p.Process.(libcontainerdtypes.Task)
	if !ok {
		return nil, mistake("%q is no task", name)
	}
	return task, nil
}

func onTask(method func(context.Context, libcontainerdtypes.Task, arguments) error) func(*runner, context.Context, arguments) (any, error) {
	return func(r *runner, ctx context.Context, a arguments) (any, error) {
		task, err := r.taskOf(a.Of)
		if err != nil {
			return nil, err
		}
		return nil, method(ctx, task, a)
	}
}

func daemonStep(do string) func(*runner, context.Context, arguments) (any, error) {
	return func(r *runner, _ context.Context, _ arguments) (any, error) {
		if r.own == nil {
			return nil, mistake("%s needs a daemon of the scenario's own", do)
		}
		return nil, daemonDo(r.own, do)
	}
}

func (r *runner) version(ctx context.Context, _ arguments) (any, error) {
	version, err := r.Moby.Version(ctx)
	return object{"version": version.Version, "revision": version.Revision}, err
}

func (r *runner) newContainer(ctx context.Context, a arguments) (any, error) {
	return r.create(ctx, a, r.Moby.NewContainer)
}

func (r *runner) replaceContainer(ctx context.Context, a arguments) (any, error) {
	return r.create(ctx, a, func(ctx context.Context, id string, spec *specsSpec, shim string, options any, opts ...containerd.NewContainerOpts) (libcontainerdtypes.Container, error) {
		return libcontainerd.ReplaceContainer(ctx, r.Moby, id, spec, shim, options, opts...)
	})
}

func (r *runner) keep(name string, c libcontainerdtypes.Container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.containers[name] = c
}

func (r *runner) loadContainer(ctx context.Context, a arguments) (any, error) {
	id := or(a.ID, "c")
	c, err := r.Moby.LoadContainer(ctx, id)
	if err != nil {
		return nil, err
	}
	r.keep(or(a.As, id), c)
	return nil, nil
}

func (r *runner) deleteContainer(ctx context.Context, a arguments) (any, error) {
	c, err := r.container(a.Of)
	if err != nil {
		return nil, err
	}
	return nil, c.Delete(ctx)
}

func (r *runner) streams(name string, a arguments) *streams {
	s := newStreams(or(a.Stdio, "read"))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attached[name] = s
	return s
}

func (r *runner) add(name string, p libcontainerdtypes.Process, s *streams) any {
	return r.addWaited(name, p, s, exitOfProcess(p))
}

func (r *runner) addWaited(name string, p libcontainerdtypes.Process, s *streams, e *exit) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes[name] = &proc{p, s, e}
	if s == nil {
		return object{"pid": p.Pid()}
	}
	return object{"pid": p.Pid(), "stdio": s.config()}
}

func (r *runner) newTask(ctx context.Context, a arguments) (any, error) {
	c, err := r.container(a.Of)
	if err != nil {
		return nil, err
	}
	name := or(a.As, a.Of)
	streams := r.streams(name, a)
	task, err := c.NewTask(ctx, a.Checkpoint, a.Stdin, streams.attach())
	if err != nil {
		return nil, err
	}
	exit := exitOfProcess(task)
	exit.await()
	return r.addWaited(name, task, streams, exit), nil
}

// start is Container.Start as it was before it was split: NewTask, Task.Start, and the task deleted where that fails.
func (r *runner) start(ctx context.Context, a arguments) (any, error) {
	c, err := r.container(a.Of)
	if err != nil {
		return nil, err
	}
	name := or(a.As, a.Of)
	streams := r.streams(name, a)
	task, err := c.NewTask(ctx, a.Checkpoint, a.Stdin, streams.attach())
	if err != nil {
		return nil, err
	}
	exit := exitOfProcess(task)
	exit.await()
	if err := task.Start(ctx); err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		_ = task.ForceDelete(clean)
		return nil, err
	}
	return r.addWaited(name, task, streams, exit), nil
}

func (r *runner) task(ctx context.Context, a arguments) (any, error) {
	c, err := r.container(a.Of)
	if err != nil {
		return nil, err
	}
	task, err := c.Task(ctx)
	if err != nil {
		return nil, err
	}
	return r.add(or(a.As, a.Of), task, nil), nil
}

func (r *runner) attachTask(ctx context.Context, a arguments) (any, error) {
	c, err := r.container(a.Of)
	if err != nil {
		return nil, err
	}
	name := or(a.As, a.Of)
	streams := r.streams(name, a)
	task, err := c.AttachTask(ctx, streams.attach())
	if err != nil {
		return nil, err
	}
	return r.add(name, task, streams), nil
}

func (r *runner) exec(ctx context.Context, a arguments) (any, error) {
	task, err := r.taskOf(a.Of)
	if err != nil {
		return nil, err
	}
	id := or(a.ID, "e")
	if a.ID == "empty" {
		id = ""
	}
	spec, err := r.processSpec(a)
	if err != nil {
		return nil, err
	}
	name := or(a.As, a.Of+"/"+id)
	streams := r.streams(name, a)
	process, err := task.Exec(ctx, id, spec, a.Stdin, streams.attach())
	if err != nil {
		return nil, err
	}
	return r.add(name, process, streams), nil
}

func exitOf(s containerd.ExitStatus) object {
	failed := any(nil)
	if s.Error() != nil {
		failed = s.Error().Error()
	}
	return object{"exit_code": s.ExitCode(), "exited_at": timeOf(s.ExitTime()), "error": failed}
}

func statusOf(ctx context.Context, p *proc, _ arguments) (any, error) {
	s, err := p.Process.(embedded).Status(ctx)
	if err != nil {
		return nil, err
	}
	return object{"status": s.Status, "exit_status": s.ExitStatus, "exit_time": timeOf(s.ExitTime)}, nil
}

func closeStdin(ctx context.Context, p *proc, _ arguments) (any, error) {
	return nil, p.Process.(embedded).CloseIO(ctx, containerd.WithStdinCloser)
}

func (r *runner) pids(ctx context.Context, a arguments) (any, error) {
	task, err := r.taskOf(a.Of)
	if err != nil {
		return nil, err
	}
	processes, err := task.Pids(ctx)
	if err != nil {
		return nil, err
	}
	found := []object{}
	for _, p := range processes {
		found = append(found, object{"pid": p.Pid, "info": p.Info != nil})
	}
	return found, nil
}

func (r *runner) summary(ctx context.Context, a arguments) (any, error) {
	task, err := r.taskOf(a.Of)
	if err != nil {
		return nil, err
	}
	summaries, err := task.Summary(ctx)
	return len(summaries), err
}

func (r *runner) printEvents(_ context.Context, a arguments) (any, error) {
	var until []string
	if len(a.Until) > 0 {
		if err := json.Unmarshal(a.Until, &until); err != nil {
			return nil, mistake("%v", err)
		}
	}
	if err := r.events.await(a.Of, until); err != nil {
		return nil, mistake("%v", err)
	}
	return r.events.print(a.Of, r.scenario.Order == "process"), nil
}

func (r *runner) probe(context.Context, arguments) (any, error) {
	return nil, r.events.ready(r.place.publish)
}

func (r *runner) join(_ context.Context, a arguments) (any, error) {
	done, ok := r.background[a.Of]
	if !ok {
		return nil, mistake("nothing runs as %q", a.Of)
	}
	select {
	case outcome := <-done:
		return outcome, nil
	case <-time.After(patience):
		return nil, mistake("%q does not end", a.Of)
	}
}
