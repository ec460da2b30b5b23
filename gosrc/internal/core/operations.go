package core

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
	"github.com/pyctd/pyctd/gosrc/internal/queue"
)

// completions is a queue with the operations that report to it.
type completions struct {
	*queue.Queue
	ops map[int64]context.CancelFunc // guarded by Core.mu; nil once the queue is released
}

// NewQueue makes a completion queue and returns its handle and eventfd.
func (c *Core) NewQueue() (uint64, int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, -1, kind.ErrClosed
	}
	q, err := queue.New()
	if err != nil {
		return 0, -1, err
	}
	return c.handles.Put(&completions{q, map[int64]context.CancelFunc{}}), q.FD(), nil
}

// Drain moves at most limit completions out of a queue.
func (c *Core) Drain(q uint64, limit int) ([]queue.Completion, error) {
	from, err := handle.Get[*completions](&c.handles, q)
	if err != nil {
		return nil, err
	}
	return from.Queue.Drain(limit), nil
}

// Start runs work on its own goroutine, with the given timeout, and pushes its outcome to the queue. A panic becomes the
// operation's error.
func (c *Core) Start(q uint64, timeoutNs int64, work func(context.Context) (Result, error)) (int64, error) {
	on, err := handle.Get[*completions](&c.handles, q)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// One lock covers the check and the entry: a release or a shutdown either refuses the operation or cancels it.
	if c.closed || on.ops == nil {
		return 0, kind.ErrClosed
	}
	ctx, cancel := c.withTimeout(timeoutNs)
	c.lastOp++
	op := c.lastOp
	c.ops[op], on.ops[op] = cancel, cancel
	spawnIn(&c.running, func() {
		defer cancel()
		sleepExactly()
		done := outcome(op, func() (Result, error) { return work(ctx) })
		c.mu.Lock()
		delete(c.ops, op)
		delete(on.ops, op)
		c.mu.Unlock()
		if !on.Push(done) {
			c.disown(done) // nobody is left to own what is new
		}
	})
	return op, nil
}

func (c *Core) withTimeout(ns int64) (context.Context, context.CancelFunc) {
	if ns < 0 {
		return context.WithCancel(c.ctx)
	}
	return context.WithTimeout(c.ctx, time.Duration(ns))
}

// outcome runs work and packs its outcome.
func outcome(op int64, work func() (Result, error)) queue.Completion {
	result, err := protect(work)
	if err == nil {
		return queue.Completion{Op: op, Kind: kind.OK, Code: result.Code, Value: result.Value, At: result.At, Data: result.Data, Detail: result.Detail}
	}
	done := queue.Completion{Op: op, Kind: kind.Of(err), Data: utf8(err.Error())}
	var detailed interface{ Detail() string }
	if errors.As(err, &detailed) {
		done.Detail = utf8(detailed.Detail())
	}
	return done
}

// sleepExactly makes this Go thread sleep as briefly as the scheduler intends. Before a thread takes a new goroutine from
// another that is still running, such as one that a caller in C has just started, it sleeps for 3 µs. By default the kernel
// adds 50 µs to each sleep, more than all the rest of the way.
func sleepExactly() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// Cancel cancels an operation's context.
func (c *Core) Cancel(op int64) bool {
	c.mu.Lock()
	cancel, ok := c.ops[op]
	c.mu.Unlock()
	if ok {
		cancel()
	}
	return ok
}

// closeQueue cancels the operations of a queue and refuses further ones.
func (c *Core) closeQueue(q *completions) {
	c.mu.Lock()
	for _, cancel := range q.ops {
		cancel()
	}
	q.ops = nil
	c.mu.Unlock()
	for _, done := range q.Close() {
		c.disown(done)
	}
}
