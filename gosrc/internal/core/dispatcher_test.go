package core

import (
	"testing"
	"time"
)

// batches is the other side of the boundary, which keeps how the events came.
type batches struct {
	recorder
	came chan []Event
}

func (b batches) Events(events []Event) { b.came <- events }

func newDispatcher(t *testing.T) (*dispatcher, batches) {
	t.Helper()
	b := batches{came: make(chan []Event, 16)}
	d := &dispatcher{}
	d.init(b)
	t.Cleanup(d.close)
	return d, b
}

func (b batches) next(t *testing.T) []Event {
	t.Helper()
	return within(t, b.came)
}

// send hands events over, each from a goroutine of its own as libcontainerd does, and returns when all are there.
func (d *dispatcher) send(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		before := d.unacknowledged()
		go func() { _ = d.process(Event{ContainerID: id}, nil) }()
		until(t, func() bool { return d.unacknowledged() != before })
	}
}

func TestEventsGatherWhileABatchIsHandled(t *testing.T) {
	d, b := newDispatcher(t)
	d.send(t, "a")
	first := b.next(t)
	d.mu.Lock()
	d.sentAt = time.Now().Add(time.Hour) // gather never passes
	d.mu.Unlock()
	d.send(t, "b", "c")
	if len(b.came) != 0 {
		t.Fatal("came while the first was handled")
	}
	d.acknowledge(first[0].Token, "")
	if second := b.next(t); len(second) != 2 {
		t.Fatalf("got %v", second)
	}
}

func TestEventsBehindAHandlerThatBlocksComeSoon(t *testing.T) {
	d, b := newDispatcher(t)
	d.send(t, "a")
	blocked := b.next(t)
	for range 20 { // each while the batch before it is not old, and its timer may run
		d.send(t, "b")
		b.next(t)
	}
	if !d.acknowledge(blocked[0].Token, "") || d.unacknowledged() != 20 {
		t.Fatalf("%d are left", d.unacknowledged())
	}
}

func TestAnEventThatNobodyWaitsForHoldsNothingBack(t *testing.T) {
	d, b := newDispatcher(t)
	d.send(t, "a")
	first := b.next(t)
	d.mu.Lock()
	d.sentAt = time.Now().Add(time.Hour)
	d.mu.Unlock()
	gone, returned := make(chan struct{}), make(chan struct{})
	go func() { defer close(returned); _ = d.process(Event{ContainerID: "b"}, gone) }()
	until(t, func() bool { return d.unacknowledged() == 2 })
	close(gone)
	within(t, returned)
	d.acknowledge(first[0].Token, "")
	b.next(t)
	d.send(t, "c")
	if last := b.next(t); len(last) != 1 || last[0].ContainerID != "c" {
		t.Fatalf("got %v", last)
	}
}

func TestManyAreAcknowledgedAtOnce(t *testing.T) {
	d, b := newDispatcher(t)
	d.send(t, "a", "b", "c")
	tokens := []uint64{1 << 40}
	for len(tokens) < 4 {
		for _, event := range b.next(t) {
			tokens = append(tokens, event.Token)
		}
		if ended := d.acknowledgeAll(tokens); ended == 0 {
			t.Fatal("none")
		}
	}
	if d.acknowledgeAll(tokens) != 0 || d.unacknowledged() != 0 {
		t.Fatalf("%d are left", d.unacknowledged())
	}
}
