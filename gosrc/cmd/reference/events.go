package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// probeID is the container that the probes' events name; see ready.
const probeID = "conformance-probe"

// patience is how long a step waits for what must come: ample, for only a failure takes it.
const patience = 30 * time.Second

type event struct {
	kind libcontainerdtypes.EventType
	info libcontainerdtypes.EventInfo
}

// events is a Backend that keeps what it is told.
type events struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next event
	of      map[string][]event
	probes  int
}

func newEvents() *events { return &events{changed: make(chan struct{}), of: map[string][]event{}} }

func (e *events) ProcessEvent(id string, kind libcontainerdtypes.EventType, info libcontainerdtypes.EventInfo) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if id == probeID {
		e.probes++
	} else {
		e.of[id] = append(e.of[id], event{kind, info})
	}
	close(e.changed)
	e.changed = make(chan struct{})
	return nil
}

// until waits for a condition, which is asked with the lock held.
func (e *events) until(end <-chan time.Time, condition func() bool) error {
	for {
		e.mu.Lock()
		done, changed := condition(), e.changed
		e.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-end:
			return errors.New("the events waited for did not come")
		}
	}
}

// await waits until a container had as many events of each type as types has.
func (e *events) await(id string, types []string) error {
	return e.until(time.After(patience), func() bool {
		want := map[string]int{}
		for _, kind := range types {
			want[kind]++
		}
		for _, event := range e.of[id] {
			want[string(event.kind)]--
		}
		for _, missing := range want {
			if missing > 0 {
				return false
			}
		}
		return true
	})
}

// ready publishes events until one comes back: NewClient subscribes in the background and does not say when it has.
func (e *events) ready(publish func(context.Context) error) error {
	e.mu.Lock()
	before := e.probes
	e.mu.Unlock()
	for end := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := publish(ctx)
		cancel()
		if e.until(time.After(50*time.Millisecond), func() bool { return e.probes > before }) == nil {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(errors.New("events do not flow"), err)
		}
	}
}

// quiet is how long no event has to come before no more are expected.
const quiet = 200 * time.Millisecond

// late is how long an exit event is waited for whose process is gone. It may be lost, as when the daemon was away.
const late = 3 * time.Second

// settle waits until no event comes any more: the last ones of a scenario may be on their way.
func (e *events) settle() {
	_ = e.until(time.After(late), func() bool { return !e.owed() })
	for before := -1; ; {
		e.mu.Lock()
		count, changed := 0, e.changed
		for _, events := range e.of {
			count += len(events)
		}
		e.mu.Unlock()
		if count == before {
			return
		}
		before = count
		select {
		case <-changed:
		case <-time.After(quiet):
		}
	}
}

// owed tells whether a process is gone whose exit was not told. Called with the lock held.
func (e *events) owed() bool {
	running := map[uint32]bool{}
	for _, events := range e.of {
		for _, event := range events {
			switch event.kind {
			case libcontainerdtypes.EventStart, libcontainerdtypes.EventExecStarted:
				running[event.info.Pid] = true
			case libcontainerdtypes.EventExit:
				delete(running, event.info.Pid)
			}
		}
	}
	for pid := range running {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return true
		}
	}
	return false
}

// print gives a container's events with all their fields.
func (e *events) print(id string, byProcess bool) []object {
	e.mu.Lock()
	all := slices.Clone(e.of[id])
	e.mu.Unlock()
	if byProcess {
		slices.SortStableFunc(all, func(a, b event) int { return strings.Compare(a.info.ProcessID, b.info.ProcessID) })
	}
	printed := []object{}
	for _, event := range all {
		failed := any(nil)
		if event.info.Error != nil {
			failed = event.info.Error.Error()
		}
		printed = append(printed, object{
			"event": event.kind, "container_id": event.info.ContainerID, "process_id": event.info.ProcessID,
			"pid": event.info.Pid, "exit_code": event.info.ExitCode, "exited_at": timeOf(event.info.ExitedAt), "error": failed,
		})
	}
	return printed
}

func (e *events) containers() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for id := range e.of {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// timeOf is nanoseconds since the epoch, or 0 for no time.
func timeOf(t time.Time) int64 {
	if t.IsZero() || t.Unix() == 0 {
		return 0
	}
	return t.UnixNano()
}
