package core

import (
	"errors"
	"runtime"
	"sync"
)

// maxRecords bounds the log records that wait for a slow reader; events are never dropped.
const maxRecords = 4096

type record struct {
	level        int32
	text, fields string
}

// dispatcher carries events and log records out, in batches, from one goroutine that is locked to its thread: a
// callback into Python from many threads at once costs far more than the events themselves.
type dispatcher struct {
	callbacks Callbacks
	mu        sync.Mutex
	wake      *sync.Cond
	events    []Event
	records   []record
	waiting   map[uint64]chan string
	lastToken uint64
	started   bool
	closed    bool
}

func (d *dispatcher) init(callbacks Callbacks) {
	d.callbacks = callbacks
	d.wake = sync.NewCond(&d.mu)
	d.waiting = map[uint64]chan string{}
}

// start runs the goroutine when there is first something to carry. Called with the lock held.
func (d *dispatcher) start() {
	if !d.started {
		d.started = true
		go d.run()
	}
	d.wake.Signal()
}

func (d *dispatcher) run() {
	runtime.LockOSThread()
	for {
		d.mu.Lock()
		for len(d.events) == 0 && len(d.records) == 0 && !d.closed {
			d.wake.Wait()
		}
		if d.closed {
			d.mu.Unlock()
			return
		}
		events, records := d.events, d.records
		d.events, d.records = nil, nil
		d.mu.Unlock()
		if len(events) > 0 {
			d.callbacks.Events(events)
		}
		for _, r := range records {
			d.callbacks.Log(r.level, r.text, r.fields)
		}
	}
}

// process hands an event over and returns when it is acknowledged, or when done is closed: libcontainerd's queue keeps
// the next event of the same container back until then.
func (d *dispatcher) process(event Event, done <-chan struct{}) error {
	ack := make(chan string, 1)
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.lastToken++
	event.Token = d.lastToken
	d.waiting[event.Token] = ack
	d.events = append(d.events, event)
	d.start()
	d.mu.Unlock()
	select {
	case text := <-ack:
		if text != "" {
			return errors.New(text)
		}
	case <-done:
		d.mu.Lock()
		delete(d.waiting, event.Token)
		d.mu.Unlock()
	}
	return nil
}

func (d *dispatcher) acknowledge(token uint64, text string) bool {
	d.mu.Lock()
	ack, ok := d.waiting[token]
	delete(d.waiting, token)
	d.mu.Unlock()
	if ok {
		ack <- text
	}
	return ok
}

func (d *dispatcher) log(r record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.records) >= maxRecords {
		return
	}
	d.records = append(d.records, r)
	d.start()
}

func (d *dispatcher) unacknowledged() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

func (d *dispatcher) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.wake.Broadcast()
}

// AckEvent ends one ProcessEvent with the error's text, "" for nil.
func (c *Core) AckEvent(token uint64, text string) bool { return c.dispatcher.acknowledge(token, text) }
