package core

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
	"github.com/pyctd/pyctd/gosrc/internal/queue"
)

// recorder is the other side of the boundary for tests that need no more of it.
type recorder struct{ events chan Event }

func (r recorder) Event(event Event) EventAnswer {
	r.events <- event
	return EventPending
}
func (recorder) Stdio(uint64, uint64, *DirectIO) StdioAnswer { return StdioNone }
func (recorder) IO(uint64, IOCall)                           {}
func (recorder) Log(int32, string, string)                   {}

func start(t *testing.T, timeoutNs int64, work func(context.Context) (Result, error)) queue.Completion {
	t.Helper()
	c := New(recorder{}, 0)
	q, fd, err := c.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	op, err := c.Start(q, timeoutNs, work)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000); n != 1 || err != nil {
		t.Fatalf("poll: %d, %v", n, err)
	}
	done, err := c.Drain(q, 8)
	if err != nil || len(done) != 1 || done[0].Op != op {
		t.Fatalf("drained %v, %v", done, err)
	}
	if counts := c.Counts(); counts.Operations != 0 {
		t.Fatalf("%d operations left", counts.Operations)
	}
	return done[0]
}

func TestAPanicIsTheOperationsError(t *testing.T) {
	done := start(t, -1, func(context.Context) (Result, error) { panic("boom") })
	if done.Kind != kind.Internal || !strings.Contains(string(done.Data), "boom") {
		t.Fatalf("got %d %q", done.Kind, done.Data)
	}
}

func TestADeadlineAlreadyPastIsForTheWorkToRefuse(t *testing.T) {
	done := start(t, 0, func(ctx context.Context) (Result, error) {
		return Result{}, fmt.Errorf("in its own words: %w", ctx.Err())
	})
	if done.Kind != kind.DeadlineExceeded || string(done.Data) != "in its own words: context deadline exceeded" {
		t.Fatalf("got %d %q", done.Kind, done.Data)
	}
}

func TestCancelEndsTheContext(t *testing.T) {
	c := New(recorder{}, 0)
	q, _, err := c.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	entered, ended := make(chan struct{}), make(chan error, 1)
	op, err := c.Start(q, -1, func(ctx context.Context) (Result, error) {
		close(entered)
		<-ctx.Done()
		ended <- ctx.Err()
		return Result{}, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	within(t, entered) // an operation that is cancelled before it began does not run its work at all
	if !c.Cancel(op) {
		t.Fatal("not cancelled")
	}
	if err := within(t, ended); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestAnOrphanedResultIsReleased(t *testing.T) {
	c := New(recorder{}, 0)
	q, _, err := c.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	proceed := make(chan struct{})
	if _, err := c.Start(q, -1, func(context.Context) (Result, error) {
		<-proceed
		return Result{Value: c.handles.Put("new")}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(q); err != nil {
		t.Fatal(err)
	}
	close(proceed)
	finish(t, c.running.Wait)
	if n := c.handles.Len(); n != 0 {
		t.Fatalf("%d handles left", n)
	}
}

func TestReleasingAQueueCancelsItsOperationsOnly(t *testing.T) {
	c := New(recorder{}, 0)
	ended := make(chan error, 2)
	var queues [2]uint64
	for i := range queues {
		q, _, err := c.NewQueue()
		if err != nil {
			t.Fatal(err)
		}
		queues[i] = q
		if _, err := c.Start(q, -1, func(ctx context.Context) (Result, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return Result{}, ctx.Err()
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range queues {
		if err := c.Release(q); err != nil {
			t.Fatal(err)
		}
		if err := within(t, ended); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if q == queues[0] && len(ended) != 0 {
			t.Fatal("the other queue's operation ended too")
		}
	}
	finish(t, c.running.Wait)
}

func TestALogReaderThatBlocksHoldsNoEventUp(t *testing.T) {
	r := slowReader{recorder{make(chan Event, 1)}, make(chan struct{}), make(chan struct{})}
	c := New(r, 0)
	c.records.put(record{text: "slowly"})
	defer close(r.leave)
	within(t, r.entered)
	go func() { _ = c.deliveries.deliver(Event{ContainerID: "a"}, nil) }()
	event := within(t, r.events)
	c.AckEvent(event.Token, "")
}

type slowReader struct {
	recorder
	entered, leave chan struct{}
}

func (r slowReader) Log(int32, string, string) {
	close(r.entered)
	<-r.leave
}

func TestSpecsThatLibcontainerdWouldDereference(t *testing.T) {
	for _, spec := range []string{``, `null`, `[]`, `"x"`, `{}`, `{"root":{}}`, `{"root":{},"process":{}}`, `{"root":{},"process":{},"linux":{}} x`} {
		if _, err := parseSpec([]byte(spec)); kind.Of(err) != kind.InvalidArgument {
			t.Errorf("%q: %v", spec, err)
		}
	}
	if _, err := parseSpec([]byte(`{"root":{},"process":{},"linux":{}}`)); err != nil {
		t.Error(err)
	}
}

// What core reaches beyond libcontainerd's interfaces holds for the pinned modules only.

func TestAContextThatIsEndedByItsCause(t *testing.T) {
	inner, cancel := context.WithCancelCause(context.Background())
	ctx := endedByCause(inner)
	derived, stop := context.WithCancel(ctx)
	defer stop()
	if ctx.Err() != nil || derived.Err() != nil {
		t.Fatal("ended before its time")
	}
	cancel(context.DeadlineExceeded)
	within(t, derived.Done())
	for _, err := range []error{ctx.Err(), derived.Err(), endedByCause(inner).Err()} {
		if err != context.DeadlineExceeded {
			t.Errorf("ended with %v", err)
		}
	}
}
