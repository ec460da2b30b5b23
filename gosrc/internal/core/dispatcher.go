package core

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"time"
)

// gather is how long events wait at most for the batch before them to be done with. Each batch that goes out disturbs the
// threads that run handlers; while these get on, few large ones cost less than many small.
const gather = time.Millisecond

// dispatcher carries events and log records out: apart, so that a log handler that blocks holds no event up; each in
// batches, from one goroutine that is locked to its thread, for a callback into Python from many threads at once costs far
// more than what it carries.
type dispatcher struct {
	callbacks Callbacks
	mu        sync.Mutex
	wake      *sync.Cond
	events    []Event
	records   *recordCarrier
	waiting   map[uint64]chan string
	lastToken uint64
	sentToken uint64 // of the last event that went out
	handled   int    // events that went out and are not acknowledged
	sentAt    time.Time
	overdue   *time.Timer // ends the holding back of what came since
	closed    bool
}

func (d *dispatcher) init(callbacks Callbacks) {
	d.callbacks = callbacks
	d.wake = sync.NewCond(&d.mu)
	d.waiting = map[uint64]chan string{}
	d.records = newRecordCarrier(func(r record) { callbacks.Log(r.level, r.text, r.fields) })
	spawn(d.run)
}

// start lets what is new be carried: at once, or with the next batch. Called with the lock held.
func (d *dispatcher) start() {
	if d.ready() {
		d.wake.Signal()
	} else if d.overdue == nil {
		d.overdue = time.AfterFunc(gather-time.Since(d.sentAt), func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.overdue = nil; len(d.events) > 0 {
				d.start() // or hold back for longer: another batch may have gone out meanwhile
			}
		})
	}
}

// ready tells whether there is something to carry now. Called with the lock held.
func (d *dispatcher) ready() bool {
	return len(d.events) > 0 && (d.handled == 0 || time.Since(d.sentAt) >= gather)
}

func (d *dispatcher) run() {
	runtime.LockOSThread()
	_ = os.WriteFile("/proc/thread-self/comm", []byte("pyctd-events"), 0) // the thread's name, for debuggers
	for {
		events, open := d.next()
		if !open {
			return
		}
		if _, err := protect(func() (struct{}, error) { d.callbacks.Events(events); return struct{}{}, nil }); err != nil {
			for _, event := range events {
				d.acknowledge(event.Token, err.Error())
			}
		}
	}
}

// next waits for events to carry.
func (d *dispatcher) next() (events []Event, open bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.ready() && !d.closed {
		d.wake.Wait()
	}
	if d.closed {
		return nil, false
	}
	events, d.events = d.events, nil
	for _, event := range events {
		if _, waits := d.waiting[event.Token]; waits {
			d.handled++
		}
	}
	d.sentToken, d.sentAt = events[len(events)-1].Token, time.Now()
	return events, true
}

// take ends the wait for an event. Called with the lock held.
func (d *dispatcher) take(token uint64) (ack chan string) {
	ack, waits := d.waiting[token]
	delete(d.waiting, token)
	if waits && token <= d.sentToken {
		if d.handled--; d.ready() {
			d.wake.Signal()
		}
	}
	return ack
}

// process hands an event over and returns when it is acknowledged, or when done is closed: libcontainerd's queue keeps
// the next event of the same container back until then.
func (d *dispatcher) process(event Event, done <-chan struct{}) error { return d.put(event)(done) }

// put hands an event over. What it returns waits as process does.
func (d *dispatcher) put(event Event) (wait func(done <-chan struct{}) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return func(<-chan struct{}) error { return nil }
	}
	ack := make(chan string, 1)
	d.lastToken++
	event.Token = d.lastToken
	d.waiting[event.Token] = ack
	d.events = append(d.events, event)
	d.start()
	return func(done <-chan struct{}) error {
		select {
		case text := <-ack:
			if text != "" {
				return errors.New(text)
			}
		case <-done:
			d.mu.Lock()
			d.take(event.Token)
			d.mu.Unlock()
		}
		return nil
	}
}

func (d *dispatcher) acknowledge(token uint64, text string) bool {
	d.mu.Lock()
	ack := d.take(token)
	d.mu.Unlock()
	if ack == nil {
		return false
	}
	ack <- text
	return true
}

func (d *dispatcher) acknowledgeAll(tokens []uint64) (ended int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, token := range tokens {
		if ack := d.take(token); ack != nil {
			ack <- ""
			ended++
		}
	}
	return ended
}

func (d *dispatcher) log(r record) { d.records.put(r) }

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
	d.records.close()
}

// AckEvent ends one ProcessEvent with the error's text, "" for nil.
func (c *Core) AckEvent(token uint64, text string) bool { return c.dispatcher.acknowledge(token, text) }

// AckEvents ends some with nil, and tells how many there were.
func (c *Core) AckEvents(tokens []uint64) int { return c.dispatcher.acknowledgeAll(tokens) }
