// Package core is pyctd without the C: operations on moby's libcontainerd client, by handle.
package core

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/queue"
)

// Event is one call of Backend.ProcessEvent on its way out. Token is for AckEvent if the answer is EventPending.
type Event struct {
	Cookie, Token          uint64
	Type                   string
	Pid, ExitCode          uint32
	ExitedAt               time.Time
	ContainerID, ProcessID string
	Error                  error
	Origin                 Origin
}

// Origin is where an event comes from.
type Origin int32

// The origins, as in pyctd.h.
const (
	News      Origin = iota // libcontainerd
	Recovered               // a gap in its events, and what ended in one
	Repeated                // libcontainerd, with a start or an exit of a process whose exit was recovered before
)

// EventAnswer is the other side's answer to an event.
type EventAnswer int32

// The answers, as in pyctd.h.
const (
	EventHandled EventAnswer = iota
	EventPending             // AckEvent follows, or has already come
)

// StdioAnswer is the answer of a stdio callback to a DirectIO.
type StdioAnswer int32

// The answers, as in pyctd.h.
const (
	StdioFailed StdioAnswer = iota
	StdioAttached
	StdioNone
)

// IOCall is a method of cio.IO that is carried to the other side.
type IOCall int32

// The calls, as in pyctd.h.
const (
	IOCancel IOCall = iota
	IOWait
	IOClose
	IOForget
)

// Callbacks is the other side of the boundary.
type Callbacks interface {
	Event(Event) EventAnswer
	Stdio(cookie uint64, stdio uint64, io *DirectIO) StdioAnswer
	IO(cookie uint64, call IOCall)
	Log(level int32, text, fields string)
}

// Result is what a successful operation yields.
type Result struct {
	Code  uint32
	Value uint64
	At    time.Time
	Data  []byte

	Detail []byte
}

// Core owns all state of the library in this process: handles, operations in flight, pending events.
type Core struct {
	handles   handle.Table
	callbacks Callbacks
	ctx       context.Context
	cancel    context.CancelFunc
	running   sync.WaitGroup // grows under mu, and not once closed: Shutdown waits for it

	mu     sync.Mutex
	closed bool
	lastOp int64
	ops    map[int64]context.CancelFunc // of each operation that has not ended

	checkpoints gates // by directory
	restores    gates // by daemon and namespace
	bundles     gates // by path
	execs       gates // by the container's bundle

	undoings undoings
	runcs    sync.Map // the path of each engine's runc, by the engine's address

	deliveries *deliveries
	records    *recordCarrier
	containerd containerdOutput
}

// New makes a core that calls back through callbacks.
func New(callbacks Callbacks, logLevel int32) *Core {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Core{callbacks: callbacks, ctx: ctx, cancel: cancel, ops: map[int64]context.CancelFunc{}, execs: gates{width: execsAtOnce}}
	c.deliveries = newDeliveries(callbacks)
	c.records = newRecordCarrier(func(r record) { callbacks.Log(r.level, r.text, r.fields) })
	c.routeLogs(logLevel)
	return c
}

// Counts counts live objects, for leak tests.
type Counts struct{ Handles, Operations, PendingEvents, Goroutines uint64 }

// Counts takes the counts.
func (c *Core) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Counts{
		Handles:       uint64(c.handles.Len()),
		Operations:    uint64(len(c.ops)),
		PendingEvents: uint64(c.deliveries.unhandled()),
		Goroutines:    uint64(runtime.NumGoroutine()),
	}
}

func utf8(text string) []byte { return []byte(strings.ToValidUTF8(text, "\uFFFD")) }

// spawn starts a goroutine whose panic is logged instead of ending the process. All goroutines of ours start through spawn or
// spawnIn; a test enforces it.
func spawn(work func()) { go safely(work) }

// spawnIn is spawn for a goroutine of a group.
func spawnIn(group *sync.WaitGroup, work func()) { group.Go(func() { safely(work) }) }

// safely runs work and logs a panic in it.
func safely(work func()) {
	_, _ = protect(func() (struct{}, error) { work(); return struct{}{}, nil })
}

// protect runs work. It logs a panic and returns it as the error.
func protect[T any](work func() (T, error)) (made T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	return work()
}

// PanicError is a recovered panic.
type PanicError struct{ Value any }

func (e *PanicError) Error() string { return fmt.Sprintf("panic in Go: %v", e.Value) }

// System makes it an internal error in errdefs.
func (e *PanicError) System() {}

func panicError(p any) error {
	log.L.WithField("stack", string(debug.Stack())).Errorf("recovered: %v", p)
	return &PanicError{p}
}

// closer is an object that needs closing when its handle is released.
type closer interface{ close() }

// Release takes a handle out of the table and closes its object.
func (c *Core) Release(h uint64) error {
	object, err := c.handles.Take(h)
	if err == nil {
		c.end(h, object)
	}
	return err
}

// LetGo is Release for the other side's finalizers. The code that they interrupt may hold a lock that a callback wants, so no
// callback runs on their thread. Nobody waits for the rest, least of all a shutdown: the other side takes no callbacks by then.
func (c *Core) LetGo(h uint64) error {
	object, err := c.handles.Take(h)
	if err == nil {
		spawn(func() { c.end(h, object) })
	}
	return err
}

func (c *Core) end(h uint64, object any) {
	switch o := object.(type) {
	case *completions:
		c.closeQueue(o)
	case closer:
		o.close()
	}
}

// disown releases what an operation made and nobody took. A handle has its generation, at least 1, in the upper half; a
// descriptor is an int32.
func (c *Core) disown(done queue.Completion) {
	switch {
	case done.Value > math.MaxInt32:
		_ = c.Release(done.Value)
	case done.Value > 0:
		_ = unix.Close(int(done.Value))
	}
}

// run runs work on a goroutine that Shutdown waits for. It reports false, and runs nothing, once Shutdown has begun.
func (c *Core) run(work func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		spawnIn(&c.running, work)
	}
	return !c.closed
}

// Shutdown closes every client, cancels every operation and waits at most timeout for their goroutines.
func (c *Core) Shutdown(timeout time.Duration) bool {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.records.close()
	done := make(chan struct{})
	spawn(func() {
		defer close(done)
		c.closeClients()
		c.running.Wait()
		c.closeClients() // of operations that had made one before they heard
	})
	select {
	case <-done:
		return true
	case <-time.After(timeout):
		return false
	}
}

func (c *Core) closeClients() {
	for _, object := range c.handles.All() {
		if client, ok := object.(*Client); ok {
			safely(client.close)
		}
	}
}
