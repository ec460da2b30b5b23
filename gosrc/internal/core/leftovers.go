package core

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
)

// leftovers finds what containerd leaves behind after a restore: it unpacks the checkpoint, a process's whole memory, into a
// directory for the runtime, and forgets it there. Only the event of the task's creation says where. The zero value is ready
// for use.
type leftovers struct {
	mu       sync.Mutex
	expected map[string]chan string // by container
}

// unpackedName matches containerd's names of such directories. A directory that the caller named with a runtime option is the
// caller's to keep.
var unpackedName = regexp.MustCompile(`^ctrd-checkpoint[0-9]+$`)

// createEventTimeout bounds the wait for the event of a creation that has happened; events may be lost.
const createEventTimeout = 5 * time.Second

// expect begins to watch for the creation of a container's task. wait waits for the directory, empty if there is none to
// remove; stop ends the watch.
func (l *leftovers) expect(container string) (wait func(context.Context) string, stop func()) {
	found := make(chan string, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expected == nil {
		l.expected = map[string]chan string{}
	}
	l.expected[container] = found
	wait = func(ctx context.Context) string {
		ctx, cancel := context.WithTimeout(ctx, createEventTimeout)
		defer cancel()
		directory, err := receive(ctx, found)
		if errors.Is(err, context.DeadlineExceeded) {
			log.G(ctx).WithField("container", container).Warn("containerd does not tell where it has unpacked the checkpoint, which stays there")
		}
		return directory
	}
	return wait, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.expected, container)
	}
}

// see inspects an event on its way to libcontainerd.
func (l *leftovers) see(envelope *events.Envelope) {
	if envelope.Event == nil || !typeurl.Is(envelope.Event, &apievents.TaskCreate{}) {
		return
	}
	var created apievents.TaskCreate
	if err := typeurl.UnmarshalTo(envelope.Event, &created); err != nil {
		return // libcontainerd reports it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.expected[created.ContainerID]
	if found == nil || created.Checkpoint == "" {
		return
	}
	if !unpackedName.MatchString(filepath.Base(created.Checkpoint)) {
		created.Checkpoint = ""
	}
	select {
	case found <- created.Checkpoint:
	default: // events may be repeated
	}
}

// discard removes the checkpoint that a task was restored from, once the task no longer needs it.
func (p *Process) discard() {
	directory, _ := p.unpacked.Swap("").(string)
	if directory == "" {
		return
	}
	if err := removeOwnTree(directory); err != nil {
		log.L.WithError(err).WithField("directory", directory).Warn("failed to remove what containerd left of a restore")
	}
}
