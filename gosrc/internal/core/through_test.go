package core

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// bound is how long a test waits for what must come.
const bound = 30 * time.Second

// within fails the test if nothing comes.
func within[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(bound):
		t.Fatal("nothing came")
	}
	return value
}

// lonely is a client without a daemon.
func lonely(t *testing.T) *Client {
	t.Helper()
	cl := &Client{core: New(recorder{}, 0), streams: map[*stdio]struct{}{}}
	cl.ctx, cl.cancel = context.WithCancel(t.Context())
	t.Cleanup(cl.cancel)
	return cl
}

func TestAnAbandonedCallGoesOnAndIsUndone(t *testing.T) {
	cl := lonely(t)
	key := processName{"a", "a"}
	begun, proceed, undo := make(chan struct{}), make(chan struct{}), make(chan struct{})
	undone := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() {
		_, err := seeThrough(ctx, cl, key, "it is undone", func(long context.Context) (string, error) {
			close(begun)
			<-proceed
			return "made", long.Err()
		}, func(_ context.Context, made string) {
			<-undo
			undone <- made
		})
		returned <- err
	}()
	within(t, begun)
	cancel()
	if err := within(t, returned); !errors.Is(err, context.Canceled) || err.Error() != "context canceled: it is undone" {
		t.Fatalf("the caller got %v", err)
	}
	again := make(chan error, 1)
	go func() { again <- cl.undone(t.Context(), key) }()
	if err := cl.undone(t.Context(), processName{"a", "other"}); err != nil {
		t.Fatal(err)
	}
	close(proceed)
	late, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if err := cl.undone(late, key); kind.Of(err) != kind.DeadlineExceeded {
		t.Fatalf("before it is undone the wait answers %v", err)
	}
	close(undo)
	if made := within(t, undone); made != "made" {
		t.Fatalf("undone was %q", made)
	}
	if err := within(t, again); err != nil || len(cl.core.undoings.pending) != 0 {
		t.Fatalf("after it was undone: %v, %v", err, cl.core.undoings.pending)
	}
}

func TestACallThatEndsInTimeIsTheCallers(t *testing.T) {
	made, err := seeThrough(t.Context(), lonely(t), processName{}, "", func(context.Context) (int, error) { return 7, nil },
		func(context.Context, int) { t.Error("undone") })
	if made != 7 || err != nil {
		t.Fatalf("got %d, %v", made, err)
	}
}

func TestAPanicInACallThatIsSeenThroughIsItsError(t *testing.T) {
	_, err := seeThrough(t.Context(), lonely(t), processName{}, "", func(context.Context) (int, error) { panic("boom") }, nil)
	if kind.Of(err) != kind.Internal {
		t.Fatalf("got %v", err)
	}
}

func TestAClosedClientSeesNothingThrough(t *testing.T) {
	cl := lonely(t)
	cl.closed = true
	_, err := seeThrough(t.Context(), cl, processName{}, "", func(context.Context) (int, error) { t.Error("it ran"); return 0, nil }, nil)
	if kind.Of(err) != kind.Closed {
		t.Fatalf("got %v", err)
	}
}

func TestWorkThatComesAfterAShutdownKeepsNoConnection(t *testing.T) {
	cl := lonely(t)
	if !cl.core.Shutdown(bound) {
		t.Fatal("not shut down")
	}
	if cl.use(func() { t.Error("it ran") }) {
		t.Fatal("it was taken")
	}
	finish(t, cl.used.Wait) // as the close of the connection does
}

func TestWhatHasComeWinsOverAContextThatHasEnded(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ready := make(chan struct{})
	close(ready)
	var g gates
	for range 200 { // a plain select tosses a coin
		if _, err := receive(ended, ready); err != nil {
			t.Fatal(err)
		}
		leave, err := g.enter(ended, "a")
		if err != nil {
			t.Fatal(err)
		}
		leave()
	}
}

// Released while others start operations on it: each operation is refused or cancelled.
func TestAReleaseMissesNoOperation(t *testing.T) {
	c := New(recorder{}, 0)
	for range 2000 {
		q, _, err := c.NewQueue()
		if err != nil {
			t.Fatal(err)
		}
		begin := make(chan struct{})
		var starters sync.WaitGroup
		for range 4 {
			starters.Go(func() {
				<-begin
				for range 4 {
					_, _ = c.Start(q, -1, func(ctx context.Context) (Result, error) { <-ctx.Done(); return Result{}, ctx.Err() })
				}
			})
		}
		close(begin)
		if err := c.Release(q); err != nil {
			t.Fatal(err)
		}
		starters.Wait()
	}
	ended := make(chan struct{})
	go func() { c.running.Wait(); close(ended) }()
	within(t, ended)
	if n := c.Counts().Operations; n != 0 {
		t.Fatalf("%d operations left", n)
	}
}

func TestAShutdownBesideCallsEndsThem(t *testing.T) {
	for range 300 {
		c := New(recorder{}, 0)
		q, _, err := c.NewQueue()
		if err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for range 20 {
					_, _ = c.Start(q, -1, func(context.Context) (Result, error) { return Result{}, nil })
				}
			})
		}
		if !c.Shutdown(bound) {
			t.Fatal("not shut down")
		}
		callers.Wait()
		if _, err := c.Start(q, -1, nil); kind.Of(err) != kind.Closed {
			t.Fatalf("after the shutdown: %v", err)
		}
		if n := c.Counts().Operations; n != 0 {
			t.Fatalf("%d operations left", n)
		}
	}
}

func TestTheEndOfAProgramWaitsForWhatIsUndone(t *testing.T) {
	cl := lonely(t)
	cl.daemon, _ = containerd.New("", containerd.WithServices(containerd.WithTaskClient(slowStarts{})))
	if !cl.core.Undone(0) {
		t.Fatal("something is to be undone before any call")
	}
	ctx, cancel := context.WithCancel(t.Context())
	proceed, undo := make(chan struct{}), make(chan struct{})
	_, err := seeThrough(ctx, cl, processName{"a", "a"}, "it is undone", func(context.Context) (int, error) {
		cancel()
		<-proceed
		return 0, nil
	}, func(context.Context, int) { <-undo })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the caller got %v", err)
	}
	close(proceed)
	if cl.core.Undone(time.Millisecond) {
		t.Fatal("the wait does not see what is undone")
	}
	close(undo)
	if !cl.core.Undone(bound) {
		t.Fatal("the wait does not end")
	}
}

func TestAnUndoingThatIsWaitedForTellsOfItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u undoings
		end := u.begin(undoing{process: processName{"a", "a"}})
		waited := make(chan error, 1)
		go func() { waited <- u.wait(t.Context(), func(undoing) bool { return true }) }()
		synctest.Wait() // until it waits
		end()
		if err := <-waited; err != nil {
			t.Error(err)
		}
	})
}
