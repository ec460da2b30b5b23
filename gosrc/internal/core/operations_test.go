package core

import (
	"context"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// queueOf is a core's queue, with its handle.
func queueOf(t *testing.T, c *Core) (uint64, *completions) {
	t.Helper()
	h, _, err := c.NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	q, err := handle.Get[*completions](&c.handles, h)
	if err != nil {
		t.Fatal(err)
	}
	return h, q
}

// A loop has one queue for as long as it lives, and millions of operations.
func TestAQueueKeepsNothingOfOperationsThatHaveEnded(t *testing.T) {
	c := New(recorder{}, 0)
	h, q := queueOf(t, c)
	for range 100 {
		if _, err := c.Start(h, -1, func(context.Context) (Result, error) { return Result{}, nil }); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, c.running.Wait)
	if len(q.ops) != 0 || len(c.ops) != 0 {
		t.Fatalf("%d and %d are kept", len(q.ops), len(c.ops))
	}
}

// An operation may have found the queue a moment before its release.
func TestAQueueThatIsBeingReleasedTakesNoOperation(t *testing.T) {
	c := New(recorder{}, 0)
	h, q := queueOf(t, c)
	c.closeQueue(q)
	_, err := c.Start(h, -1, func(context.Context) (Result, error) { t.Error("it ran"); return Result{}, nil })
	if kind.Of(err) != kind.Closed {
		t.Fatalf("got %v", err)
	}
}

func TestAReleasedQueueReleasesWhatNobodyDrained(t *testing.T) {
	c := New(recorder{}, 0)
	h, _ := queueOf(t, c)
	if _, err := c.Start(h, -1, func(context.Context) (Result, error) { return Result{Value: c.handles.Put("new")}, nil }); err != nil {
		t.Fatal(err)
	}
	finish(t, c.running.Wait)
	if err := c.Release(h); err != nil {
		t.Fatal(err)
	}
	if n := c.handles.Len(); n != 0 {
		t.Fatalf("%d handles are left", n)
	}
}

func TestADescriptorThatNobodyTookIsClosed(t *testing.T) {
	c := New(recorder{}, 0)
	h, _ := queueOf(t, c)
	fd, err := openNull()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Start(h, -1, func(context.Context) (Result, error) { return Result{Value: uint64(fd)}, nil }); err != nil {
		t.Fatal(err)
	}
	finish(t, c.running.Wait)
	if err := c.Release(h); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Fatalf("it is open: %v", err)
	}
}

func TestAnErrorCarriesWhatIsKnownBeyondItsText(t *testing.T) {
	done := start(t, -1, func(context.Context) (Result, error) { return Result{}, &criuError{kind.ErrClosed, "no such pid"} })
	if string(done.Data) != kind.ErrClosed.Error() || string(done.Detail) != "no such pid" {
		t.Fatalf("got %q, %q", done.Data, done.Detail)
	}
}

func TestAClientThatIsMadeDuringAShutdownIsClosed(t *testing.T) {
	c := New(recorder{}, 0)
	daemon, err := containerd.New("", containerd.WithServices())
	if err != nil {
		t.Fatal(err)
	}
	newClient := func() *Client {
		cl := &Client{core: c, daemon: daemon, streams: map[*stdio]struct{}{}}
		cl.ctx, cl.cancel = context.WithCancel(context.Background())
		c.handles.Put(cl)
		return cl
	}
	before, made := newClient(), make(chan *Client, 1)
	h, _ := queueOf(t, c)
	if _, err := c.Start(h, -1, func(context.Context) (Result, error) {
		<-before.ctx.Done() // the shutdown has closed what there was
		made <- newClient()
		return Result{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if !c.Shutdown(bound) {
		t.Fatal("not shut down")
	}
	if during := within(t, made); during.ctx.Err() == nil {
		t.Fatal("it is open")
	}
}
