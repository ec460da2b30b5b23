// Package core is pyctd without the C: operations on moby's libcontainerd client, by handle.
package core

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
	"github.com/pyctd/pyctd/gosrc/internal/queue"
)

// Event is one call of Backend.ProcessEvent on its way out; Token is for AckEvent.
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
	Repeated                // libcontainerd, after all: it was told as recovered already
)

// StdioAnswer is what the owner of a stdio callback says to a DirectIO.
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
)

// Callbacks is the other side of the boundary.
type Callbacks interface {
	Events([]Event)
	Stdio(cookie uint64, stdio uint64, io *DirectIO) StdioAnswer
	IO(cookie uint64, call IOCall)
	Log(level int32, text, fields string)
}

// Result is what an operation yields when it goes well.
type Result struct {
	Code  uint32
	Value uint64
	At    time.Time
	Data  []byte
}

// Core owns everything that a process has: handles, operations in flight, events under way.
type Core struct {
	handles   handle.Table
	callbacks Callbacks
	ctx       context.Context
	cancel    context.CancelFunc
	running   sync.WaitGroup
	lastOp    atomic.Int64
	closed    atomic.Bool

	mu  sync.Mutex
	ops map[int64]inFlight

	checkpoints gates // by directory
	restores    gates // by daemon and namespace

	dispatcher dispatcher
	containerd containerdOutput
}

// inFlight is an operation that has not ended, and the queue that its outcome goes to.
type inFlight struct {
	cancel context.CancelFunc
	queue  uint64
}

// New makes a core that calls back through callbacks.
func New(callbacks Callbacks, logLevel int32) *Core {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Core{callbacks: callbacks, ctx: ctx, cancel: cancel, ops: map[int64]inFlight{}}
	c.dispatcher.init(callbacks)
	c.routeLogs(logLevel)
	return c
}

// Counts is what is alive, for leak tests.
type Counts struct{ Handles, Operations, PendingEvents, Goroutines uint64 }

// Counts counts it.
func (c *Core) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Counts{
		Handles:       uint64(c.handles.Len()),
		Operations:    uint64(len(c.ops)),
		PendingEvents: uint64(c.dispatcher.unacknowledged()),
		Goroutines:    uint64(runtime.NumGoroutine()),
	}
}

// NewQueue makes a completion queue and returns its handle and eventfd.
func (c *Core) NewQueue() (uint64, int, error) {
	if c.closed.Load() {
		return 0, -1, kind.ErrClosed
	}
	q, err := queue.New()
	if err != nil {
		return 0, -1, err
	}
	return c.handles.Put(q), q.FD(), nil
}

// Drain moves at most limit completions out of a queue.
func (c *Core) Drain(q uint64, limit int) ([]queue.Completion, error) {
	queue, err := handle.Get[*queue.Queue](&c.handles, q)
	if err != nil {
		return nil, err
	}
	return queue.Drain(limit), nil
}

// Start runs work on a goroutine of its own, under a context with the timeout given, and pushes its outcome to the
// queue. A panic becomes the operation's error.
func (c *Core) Start(q uint64, timeoutNs int64, work func(context.Context) (Result, error)) (int64, error) {
	out, err := handle.Get[*queue.Queue](&c.handles, q)
	if err != nil {
		return 0, err
	}
	if c.closed.Load() {
		return 0, kind.ErrClosed
	}
	var ctx context.Context
	var cancel context.CancelFunc
	if timeoutNs < 0 {
		ctx, cancel = context.WithCancel(c.ctx)
	} else {
		ctx, cancel = context.WithTimeout(c.ctx, time.Duration(timeoutNs))
	}
	op := c.lastOp.Add(1)
	c.mu.Lock()
	c.ops[op] = inFlight{cancel, q}
	c.mu.Unlock()
	c.running.Go(func() {
		defer cancel()
		sleepExactly()
		// A context that has ended already is libcontainerd's to refuse, in its own words and with its own clean-up.
		result, err := c.protect(func() (Result, error) { return work(ctx) })
		done := queue.Completion{Op: op, Kind: kind.Of(err), Code: result.Code, Value: result.Value, At: result.At, Data: result.Data}
		if err != nil {
			done = queue.Completion{Op: op, Kind: done.Kind, Data: utf8(err.Error())}
			var detailed interface{ Detail() string }
			if errors.As(err, &detailed) {
				done.Detail = utf8(detailed.Detail())
			}
		}
		c.mu.Lock()
		delete(c.ops, op)
		c.mu.Unlock()
		if !out.Push(done) {
			c.disown(done) // nobody is left to own what is new
		}
	})
	return op, nil
}

// sleepExactly lets this thread of Go's sleep for as long as the scheduler means to. Before one of its threads takes a new
// goroutine from another that still runs, as the one that a caller in C has just started, it sleeps for 3 µs; the kernel
// adds 50 µs to each sleep by default, which is more than all the rest of the way.
func sleepExactly() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

func utf8(text string) []byte { return []byte(strings.ToValidUTF8(text, "\uFFFD")) }

func (c *Core) protect(work func() (Result, error)) (result Result, err error) {
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

// System makes it an internal error to errdefs.
func (e *PanicError) System() {}

func panicError(p any) error {
	log.L.WithField("stack", string(debug.Stack())).Errorf("recovered: %v", p)
	return &PanicError{p}
}

// Cancel cancels an operation's context.
func (c *Core) Cancel(op int64) bool {
	c.mu.Lock()
	at, ok := c.ops[op]
	c.mu.Unlock()
	if ok {
		at.cancel()
	}
	return ok
}

// closer is what a released object does last.
type closer interface{ close() }

// Release takes a handle out of the table and ends what it stands for.
func (c *Core) Release(h uint64) error {
	object, err := c.handles.Take(h)
	if err != nil {
		return err
	}
	switch o := object.(type) {
	case *queue.Queue:
		c.cancelAll(h)
		for _, done := range o.Close() {
			c.disown(done)
		}
	case closer:
		o.close()
	}
	return nil
}

// cancelAll cancels the operations of a queue that is being released: nobody is left to hear of them.
func (c *Core) cancelAll(q uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.ops {
		if at.queue == q {
			at.cancel()
		}
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

// Shutdown closes every client, cancels every operation and waits at most timeout for their goroutines.
func (c *Core) Shutdown(timeout time.Duration) bool {
	c.closed.Store(true)
	c.cancel()
	c.dispatcher.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, object := range c.handles.All() {
			if client, ok := object.(*Client); ok {
				client.close()
			}
		}
		c.running.Wait()
	}()
	select {
	case <-done:
		return true
	case <-time.After(timeout):
		return false
	}
}
