package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

	"github.com/pyctd/pyctd/gosrc/internal/direct"
)

var background = context.Background()

// run does what a request asks for. Its samples are what each operation took, or all of them together where they run at
// once or are one stream.
func (b *bench) run(r request) ([]int64, error) {
	switch r.Workload {
	case "version":
		return each(r.Count, func() error { _, err := b.Moby.Version(background); return err })
	case "status":
		return b.onTask(r.Count, func(t libcontainerdtypes.Task) error { _, err := t.Status(background); return err })
	case "stats":
		return b.onTask(r.Count, func(t libcontainerdtypes.Task) error { _, err := t.Stats(background); return err })
	case "exec":
		return b.onTask(r.Count, func(t libcontainerdtypes.Task) error { return b.exec(t, nil, "/bin/true") })
	case "exec-stdout":
		return b.onTask(1, func(t libcontainerdtypes.Task) error {
			return b.exec(t, copying("capture", nil), streamArgs("stdout", r.Count)...)
		})
	case "execs":
		return b.onTask(1, func(t libcontainerdtypes.Task) error {
			return atOnce(r.Count, func() error { return b.exec(t, nil, "/bin/true") })
		})
	case "lifecycle":
		return each(r.Count, func() error { return b.lifecycle(false, nil, "/bin/true") })
	case "lifecycles":
		return each(1, func() error {
			return atOnce(r.Count, func() error { return b.lifecycle(false, nil, "/bin/true") })
		})
	case "step":
		return b.step(r.Mode, r.Count)
	case "connect":
		return b.connects(r.Count)
	case "exit-event":
		return b.exitEvents(r.Count)
	case "events":
		return b.events(r.Count)
	case "stdout", "stdin", "lines":
		return b.stream(r)
	case "live":
		return nil, b.live(r.Count)
	}
	return nil, fmt.Errorf("there is no workload %q", r.Workload)
}

// each takes the time of count operations, one after the other.
func each(count int, operation func() error) ([]int64, error) {
	samples := make([]int64, count)
	for i := range samples {
		begun := time.Now()
		if err := operation(); err != nil {
			return nil, err
		}
		samples[i] = time.Since(begun).Nanoseconds()
	}
	return samples, nil
}

// atOnce runs count operations at the same time.
func atOnce(count int, operation func() error) error {
	errs := make([]error, count)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() { errs[i] = operation() })
	}
	running.Wait()
	return errors.Join(errs...)
}

func (b *bench) container(args ...string) (libcontainerdtypes.Container, error) {
	spec, process := b.spec, *b.spec.Process
	process.Args = args
	spec.Process = &process
	return b.Moby.NewContainer(background, fmt.Sprintf("%s-%d", b.Namespace, b.ids.Add(1)), &spec, shim, nil)
}

type waiter interface {
	Wait(context.Context) (<-chan containerd.ExitStatus, error)
}

// lifecycle makes a container, runs it to its end and deletes it, in the calls and the order of pyctd's start, wait and
// delete.
func (b *bench) lifecycle(stdin bool, stdio libcontainerdtypes.StdioCallback, args ...string) error {
	container, err := b.container(args...)
	if err != nil {
		return err
	}
	task, err := container.NewTask(background, "", stdin, orNone(stdio))
	if err != nil {
		return err
	}
	exited, err := task.(waiter).Wait(background)
	if err != nil {
		return err
	}
	if err := task.Start(background); err != nil {
		return err
	}
	<-exited
	if _, err := task.Delete(background); err != nil {
		return err
	}
	return container.Delete(background)
}

// step takes the time of one step of each of count life cycles.
func (b *bench) step(name string, count int) ([]int64, error) {
	samples := make([]int64, 0, count)
	for range count {
		took := map[string]time.Duration{}
		begun := time.Now()
		container, err := b.container("/bin/true")
		if err != nil {
			return nil, err
		}
		took["create"] = time.Since(begun)
		begun = time.Now()
		task, err := container.NewTask(background, "", false, orNone(nil))
		if err != nil {
			return nil, err
		}
		exited, err := task.(waiter).Wait(background)
		if err != nil {
			return nil, err
		}
		if err := task.Start(background); err != nil {
			return nil, err
		}
		took["start"] = time.Since(begun)
		<-exited
		found, err := container.Task(background)
		if err != nil {
			return nil, err
		}
		begun = time.Now()
		if exited, err = found.(waiter).Wait(background); err != nil {
			return nil, err
		}
		<-exited
		took["wait"] = time.Since(begun)
		if _, err := task.Delete(background); err != nil {
			return nil, err
		}
		if err := container.Delete(background); err != nil {
			return nil, err
		}
		samples = append(samples, took[name].Nanoseconds())
	}
	return samples, nil
}

// connects takes the time until a new client has its first answer.
func (b *bench) connects(count int) ([]int64, error) {
	samples := make([]int64, 0, count)
	for range count {
		begun := time.Now()
		client, err := direct.Connect(background, b.Address, b.Namespace, filepath.Join(b.State, b.Namespace), b)
		if err != nil {
			return nil, err
		}
		_, err = client.Moby.Version(background)
		samples = append(samples, time.Since(begun).Nanoseconds())
		client.Close()
		if err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// onTask takes the time of count operations on a task that sleeps.
func (b *bench) onTask(count int, operation func(libcontainerdtypes.Task) error) ([]int64, error) {
	if b.asleep == nil {
		var err error
		if b.sleeper, b.asleep, err = b.sleep(); err != nil {
			return nil, err
		}
	}
	return each(count, func() error { return operation(b.asleep) })
}

func (b *bench) sleep() (libcontainerdtypes.Container, libcontainerdtypes.Task, error) {
	return b.started("/bin/sleep", "86400")
}

func (b *bench) started(args ...string) (libcontainerdtypes.Container, libcontainerdtypes.Task, error) {
	container, err := b.container(args...)
	if err != nil {
		return nil, nil, err
	}
	task, err := container.NewTask(background, "", false, orNone(nil))
	if err != nil {
		return nil, nil, err
	}
	return container, task, task.Start(background)
}

// live starts count tasks that stay.
func (b *bench) live(count int) error {
	for range count {
		if _, _, err := b.sleep(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) exec(task libcontainerdtypes.Task, stdio libcontainerdtypes.StdioCallback, args ...string) error {
	process := *b.spec.Process
	process.Args = args
	exec, err := task.Exec(background, fmt.Sprintf("exec-%d", b.ids.Add(1)), &process, false, orNone(stdio))
	if err != nil {
		return err
	}
	exited, err := exec.(waiter).Wait(background)
	if err != nil {
		return err
	}
	<-exited
	_, err = exec.Delete(background)
	return err
}

// exitEvents takes the time from a process's exit, as containerd tells it, to the handler of its event.
func (b *bench) exitEvents(count int) ([]int64, error) {
	exits := make(chan int64, count)
	b.exits.Store(&exits)
	defer b.exits.Store(nil)
	samples := make([]int64, count)
	for i := range samples {
		container, task, err := b.started("/bin/true")
		if err != nil {
			return nil, err
		}
		select { // before the deletion, with which containerd 2 may lose the event
		case samples[i] = <-exits:
		case <-time.After(30 * time.Second):
			return nil, errors.New("an exit has brought no event")
		}
		if _, err := task.Delete(background); err != nil {
			return nil, err
		}
		if err := container.Delete(background); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// events takes the time of count events from bench events, from the call that starts them to the last one's handler.
func (b *bench) events(count int) ([]int64, error) {
	c := &counter{done: make(chan struct{})}
	c.left.Store(int64(count))
	source, err := direct.Connect(background, b.setup.Events, eventsNamespace(count), filepath.Join(b.State, "events"), c)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	time.Sleep(settle) // the subscription is under way
	return each(1, func() error {
		if _, err := source.Moby.Version(background); err != nil {
			return err
		}
		<-c.done
		return nil
	})
}
