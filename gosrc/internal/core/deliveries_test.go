package core

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestAnEventIsHeldUntilItIsAcknowledged(t *testing.T) {
	r := recorder{make(chan Event, 1)}
	c := New(r, 0)
	returned := make(chan error, 1)
	go func() { returned <- c.deliveries.deliver(Event{ContainerID: "a"}, nil) }()
	event := within(t, r.events)
	select {
	case <-returned:
		t.Fatal("returned before the acknowledgement")
	case <-time.After(20 * time.Millisecond):
	}
	if !c.AckEvent(event.Token, "no") || c.AckEvent(event.Token, "") {
		t.Fatal("an event is acknowledged once")
	}
	if err := within(t, returned); err == nil || err.Error() != "no" {
		t.Fatal(err)
	}
}

func TestAnEventWhoseClientIsClosedIsNotWaitedFor(t *testing.T) {
	r := recorder{make(chan Event, 2)}
	d := newDeliveries(r)
	closed, returned := make(chan struct{}), make(chan error, 1)
	go func() { returned <- d.deliver(Event{ContainerID: "a"}, closed) }()
	within(t, r.events)
	close(closed)
	if err := within(t, returned); err != nil || d.unhandled() != 0 {
		t.Fatalf("%v, %d events left", err, d.unhandled())
	}
	if err := d.deliver(Event{ContainerID: "b"}, closed); err != nil || len(r.events) != 0 {
		t.Fatalf("%v, %d events handed over after the close", err, len(r.events))
	}
}

// blocking is the other side of the boundary. Handlers of "a" block until they are let go.
type blocking struct {
	recorder
	entered chan string
	leave   chan struct{}
}

func (b blocking) Event(event Event) EventAnswer {
	if event.ContainerID == "a" {
		b.entered <- event.ContainerID
		<-b.leave
	}
	return EventHandled
}

func threads(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestHandlersThatBlockHoldNoOtherUp(t *testing.T) {
	b := blocking{entered: make(chan string), leave: make(chan struct{})}
	d := newDeliveries(b)
	defer close(b.leave)
	for range crowd + abreast {
		go func() { _ = d.deliver(Event{ContainerID: "a"}, nil) }()
		within(t, b.entered)
	}
	finish(t, func() {
		for range 1000 {
			_ = d.deliver(Event{ContainerID: "b"}, nil)
		}
	})
}

// waiting is the other side of the boundary, whose handlers wait in the system, as Python's do: each takes a thread.
type waiting struct {
	recorder
	entered chan struct{}
	read    int
	answer  EventAnswer
}

func (w waiting) Event(Event) EventAnswer {
	w.entered <- struct{}{}
	_, _ = syscall.Read(w.read, make([]byte, 1))
	return w.answer
}

func TestTheThreadsOfHandlersThatBlockedEnd(t *testing.T) {
	t.Run("handled", func(t *testing.T) { testThreadsEnd(t, EventHandled) })
	t.Run("acknowledged later", func(t *testing.T) { testThreadsEnd(t, EventPending) })
}

func testThreadsEnd(t *testing.T, answer EventAnswer) {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(pipe[0]) }()
	w := waiting{entered: make(chan struct{}), read: pipe[0], answer: answer}
	d := newDeliveries(w)
	closed := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(closed)
	for range crowd {
		group.Go(func() { _ = d.deliver(Event{}, closed) })
		within(t, w.entered)
	}
	many := threads(t)
	if many < crowd {
		t.Fatalf("%d threads for %d handlers", many, crowd)
	}
	_ = syscall.Close(pipe[1])
	until(t, func() bool { return threads(t) <= many-crowd+2*abreast })
}

// counting is the other side of the boundary, whose handlers count how many run at once.
type counting struct {
	recorder
	inside, most *atomic.Int32
}

func (c counting) Event(Event) EventAnswer {
	inside := c.inside.Add(1)
	for most := c.most.Load(); inside > most && !c.most.CompareAndSwap(most, inside); most = c.most.Load() {
	}
	c.inside.Add(-1)
	return EventHandled
}

func TestShortHandlersAreFewAtOnce(t *testing.T) {
	c := counting{inside: &atomic.Int32{}, most: &atomic.Int32{}}
	d := newDeliveries(c)
	var group sync.WaitGroup
	for range 2000 {
		group.Go(func() { _ = d.deliver(Event{}, nil) })
	}
	finish(t, group.Wait)
	if most := c.most.Load(); most > crowd/2 {
		t.Fatalf("%d at once", most)
	}
}
