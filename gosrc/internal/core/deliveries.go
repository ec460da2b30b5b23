package core

import (
	"errors"
	"sync"
)

// deliveries takes events to the other side, each on the goroutine that brings it: libcontainerd's own for the event's
// container. That goroutine returns once the event is handled, so a slow handler holds up only its own container.
type deliveries struct {
	callbacks Callbacks
	door      *door

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan string // by token: the events not handled yet
}

func newDeliveries(callbacks Callbacks) *deliveries {
	return &deliveries{callbacks: callbacks, door: newDoor(), waiting: map[uint64]chan string{}}
}

// deliver hands an event over and returns once it is handled. It waits for a later acknowledgement until done is closed; after
// that it hands nothing over.
func (d *deliveries) deliver(event Event, done <-chan struct{}) error {
	d.door.enter()
	wait := d.begin(event, done)
	d.door.leave()
	return wait()
}

// begin is deliver without the wait for an acknowledgement, which it returns as a function.
func (d *deliveries) begin(event Event, done <-chan struct{}) (wait func() error) {
	handled := func() error { return nil }
	select {
	case <-done:
		return handled
	default:
	}
	ack := make(chan string, 1)
	event.Token = d.expect(ack)
	answer, err := protect(func() (EventAnswer, error) { return d.callbacks.Event(event), nil })
	if answer != EventPending || err != nil {
		d.take(event.Token)
		return func() error { return err }
	}
	return func() error {
		select {
		case text := <-ack:
			if text != "" {
				return errors.New(text)
			}
		case <-done:
			d.take(event.Token)
		}
		return nil
	}
}

// expect makes the token of an event; its acknowledgement goes to ack.
func (d *deliveries) expect(ack chan string) (token uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.waiting[d.last] = ack
	return d.last
}

// take forgets an event and returns the channel for its acknowledgement, or nil.
func (d *deliveries) take(token uint64) chan string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ack := d.waiting[token]
	delete(d.waiting, token)
	return ack
}

func (d *deliveries) unhandled() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// AckEvent ends one ProcessEvent with the error's text, "" for nil. It reports whether the event was still waiting.
func (c *Core) AckEvent(token uint64, text string) bool {
	ack := c.deliveries.take(token)
	if ack == nil {
		return false
	}
	ack <- text
	return true
}
