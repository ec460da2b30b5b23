package core

import (
	"os"
	"runtime"
	"sync"
)

// maxRecords bounds the log records queued for a slow reader; events are never dropped.
const maxRecords = 4096

type record struct {
	level        int32
	text, fields string
}

// recordCarrier passes log records to a callback from one goroutine that is locked to its thread: concurrent callbacks into
// Python from many threads cost far more than the records do.
type recordCarrier struct {
	carry  func(record)
	mu     sync.Mutex
	wake   *sync.Cond
	queued []record
	closed bool
}

func newRecordCarrier(carry func(record)) *recordCarrier {
	c := &recordCarrier{carry: carry}
	c.wake = sync.NewCond(&c.mu)
	spawn(c.run)
	return c
}

// put queues a record.
func (c *recordCarrier) put(one record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.queued) >= maxRecords {
		return
	}
	c.queued = append(c.queued, one)
	c.wake.Signal()
}

func (c *recordCarrier) run() {
	runtime.LockOSThread()
	_ = os.WriteFile("/proc/thread-self/comm", []byte("pyctd-logs"), 0) // the thread's name, for debuggers
	for {
		c.mu.Lock()
		for len(c.queued) == 0 && !c.closed {
			c.wake.Wait()
		}
		if c.closed {
			c.mu.Unlock()
			return
		}
		batch := c.queued
		c.queued = nil
		c.mu.Unlock()
		for _, one := range batch {
			c.hand(one)
		}
	}
}

// hand carries one record. It does not log a panic: that record would come here, too.
func (c *recordCarrier) hand(one record) {
	defer func() { _ = recover() }()
	c.carry(one)
}

func (c *recordCarrier) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.wake.Broadcast()
}
