package core

import (
	"context"
	"errors"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/events"
)

// stream is what one subscription brings: the test sends it.
type stream struct {
	envelopes chan *events.Envelope
	failed    chan error
}

func newStream() stream {
	return stream{envelopes: make(chan *events.Envelope), failed: make(chan error)}
}

// streams is an event service that has one stream for each subscription.
type streams struct {
	containerd.EventService
	next chan stream
}

func (s streams) Publish(context.Context, string, events.Event) error { return nil }

func (s streams) Subscribe(context.Context, ...string) (<-chan *events.Envelope, <-chan error) {
	one := <-s.next
	return one.envelopes, one.failed
}

func TestALossBeginsWithTheLastEvent(t *testing.T) {
	gaps := make(chan loss, 1)
	ready := newReadyEvents()
	ready.gap = func(l loss) { gaps <- l }
	first, second := newStream(), newStream()
	daemon := streams{next: make(chan stream, 2)}
	daemon.next <- first
	daemon.next <- second
	ready.EventService = daemon

	out, failed := ready.Subscribe(t.Context())
	before := time.Now()
	deliver(t, first.envelopes, &events.Envelope{})
	within(t, out)
	after := time.Now()
	time.Sleep(time.Millisecond)
	deliver(t, first.failed, errors.New("EOF"))
	within(t, failed)

	out, _ = ready.Subscribe(t.Context())
	deliver(t, second.envelopes, &events.Envelope{})
	within(t, out)
	if l := within(t, gaps); l.heard.Before(before) || l.heard.After(after) || !l.since.After(after) || l.cause.Error() != "EOF" {
		t.Fatalf("heard between %v and %v: %v", before, after, l)
	}
}

// libcontainerd subscribes again and again until the daemon is back.
func TestAGapIsToldOnceAndSinceItsBeginning(t *testing.T) {
	var gaps []loss
	ready := newReadyEvents()
	ready.gap = func(l loss) { gaps = append(gaps, l) }
	first := errors.New("EOF")
	ready.lose(first)
	before := time.Now()
	ready.lose(errors.New("connection refused"))
	for range 2 {
		ready.flow()
	}
	if len(gaps) != 1 || gaps[0].cause != first || gaps[0].since.After(before) {
		t.Fatalf("told: %v", gaps)
	}
}

func TestWhatCameBeforeTheEndIsNotLost(t *testing.T) {
	const count = 50
	for range 20 { // one that loses some does so by chance
		ready := newReadyEvents()
		daemon := streams{next: make(chan stream, 1)}
		one := newStream()
		daemon.next <- one
		ready.EventService = daemon
		out, failed := ready.Subscribe(t.Context())
		for range count {
			deliver(t, one.envelopes, &events.Envelope{})
		}
		deliver(t, one.failed, errors.New("EOF"))
		time.Sleep(2 * time.Millisecond)
		for got, ended := 0, false; !ended; {
			select {
			case <-out:
				got++
			case <-failed:
				ended = true
				if got != count {
					t.Fatalf("%d of %d events came", got, count)
				}
			case <-time.After(bound):
				t.Fatal("no end came")
			}
		}
	}
}
