package core

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	cerrdefs "github.com/containerd/errdefs"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// answering answers each stdio callback likewise, and notes the calls of cio.IO.
type answering struct {
	recorder
	answer StdioAnswer
	calls  *[]IOCall
	during *func() // what happens while the callback runs
}

func (a answering) Stdio(uint64, uint64, *DirectIO) StdioAnswer { (*a.during)(); return a.answer }
func (a answering) IO(_ uint64, call IOCall)                    { *a.calls = append(*a.calls, call) }

// attached has a client attach streams, and returns its IO, the DirectIO's directory, and what was called on the other side.
func attached(t *testing.T, answer StdioAnswer, end context.CancelFunc) (cio.IO, string, *[]IOCall) {
	t.Helper()
	return attachedDuring(t, answer, end, func(*Client, *[]IOCall) {})
}

func attachedDuring(t *testing.T, answer StdioAnswer, end context.CancelFunc, during func(*Client, *[]IOCall)) (cio.IO, string, *[]IOCall) {
	t.Helper()
	calls, act := &[]IOCall{}, func() {}
	cl := withoutDaemon(t, New(answering{answer: answer, calls: calls, during: &act}, 0))
	act = func() { during(cl, calls) }
	directory := t.TempDir()
	dio, spare := streamsIn(t, cl, directory)
	attach, _ := (&Container{client: cl, id: "a"}).attach(1, spare, end)
	io, err := attach(dio)
	if err != nil {
		t.Fatal(err)
	}
	return io, directory, calls
}

func TestCloseIsTheLastCallOfAnIO(t *testing.T) {
	io, _, calls := attached(t, StdioAttached, nil)
	io.Cancel()
	_ = io.Close()
	io.Cancel()
	finish(t, io.Wait)
	_ = io.Close()
	if want := []IOCall{IOCancel, IOClose}; !slices.Equal(*calls, want) {
		t.Fatalf("called %v, not %v", *calls, want)
	}
}

func TestAnIOIsClosedWhoseClientWasClosedWhileItsCallbackRan(t *testing.T) {
	ended := false
	_, directory, calls := attachedDuring(t, StdioAttached, func() { ended = true }, func(cl *Client, calls *[]IOCall) {
		daemon, err := containerd.New("", containerd.WithServices())
		if err != nil {
			t.Fatal(err)
		}
		cl.daemon = daemon
		cl.close()
		if len(*calls) != 0 {
			t.Errorf("called before there is an IO: %v", *calls)
		}
	})
	if want := []IOCall{IOClose}; !slices.Equal(*calls, want) || !ended {
		t.Errorf("called %v, not %v; ended: %v", *calls, want, ended)
	}
	if fifos, err := os.ReadDir(directory); err != nil || len(fifos) != 3 {
		t.Errorf("left are %v: %v", fifos, err)
	}
}

func TestOneWhoAttachesNothingLeavesTheFIFOsOfATaskThatRuns(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	_, directory, _ := attached(t, StdioNone, end)
	if fifos, err := os.ReadDir(directory); err != nil || len(fifos) != 3 {
		t.Fatalf("left are %v: %v", fifos, err)
	}
	if ctx.Err() == nil {
		t.Fatal("what the FIFOs were opened under goes on")
	}
}

func TestWhatFIFOsAreOpenedUnderEndsWithTheIO(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	io, _, _ := attached(t, StdioAttached, end)
	if ctx.Err() != nil {
		t.Fatal("it has ended before")
	}
	_ = io.Close()
	if ctx.Err() == nil {
		t.Fatal("it goes on")
	}
}

// A process that ends at once is done with its FIFOs before Go's runtime notices that they are open, where the
// processor is busy: deleting the process cancels its IO then.
func TestCancelKeepsWhatAShortProcessHasWritten(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that this goroutine is the busy processor
	const tries = 500
	lost := 0
	for range tries {
		io, directory, _ := attached(t, StdioAttached, nil)
		for _, name := range []string{"x-stdout", "x-stderr"} {
			shim, err := os.OpenFile(filepath.Join(directory, name), os.O_WRONLY, 0) // waits for a reader, as the shim does
			if err != nil {
				t.Fatal(err)
			}
			if _, err := shim.WriteString(name); err != nil {
				t.Fatal(err)
			}
			_ = shim.Close()
		}
		io.Cancel()
		for stream, name := range map[Stream]string{Stdout: "x-stdout", Stderr: "x-stderr"} {
			if outputOf(t, io.(*stdio), stream) != name {
				lost++
			}
		}
		_ = io.Close()
	}
	if lost > 0 {
		t.Fatalf("%d of %d outputs were lost", lost, 2*tries)
	}
}

// outputOf reads a stream to its end, as the other side does; it is empty where that finds the stream closed.
func outputOf(t *testing.T, s *stdio, stream Stream) string {
	t.Helper()
	opened, err := s.client.core.OpenStdio(t.Context(), s.handle, stream)
	if errors.Is(err, kind.ErrClosed) {
		return ""
	} else if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(opened.Value), "stream")
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCancelEndsStreamsThatNoProcessHasOpened(t *testing.T) {
	io, _, _ := attached(t, StdioAttached, nil)
	io.Cancel()
	for _, stream := range []Stream{Stdout, Stderr} {
		if got := outputOf(t, io.(*stdio), stream); got != "" {
			t.Fatalf("read %q", got)
		}
	}
	_ = io.Close()
}

// descriptorsIn counts this process's descriptors of files in a directory.
func descriptorsIn(t *testing.T, directory string) (count int) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if path, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && filepath.Dir(path) == directory {
			count++
		}
	}
	return count
}

func TestAStreamThatOpensAfterItsCallerHasGoneLeavesNoDescriptor(t *testing.T) {
	io, directory, _ := attached(t, StdioAttached, nil)
	s := io.(*stdio)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.client.core.OpenStdio(ended, s.handle, Stdout); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	shim, err := os.OpenFile(filepath.Join(directory, "x-stdout"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.client.core.OpenStdio(t.Context(), s.handle, Stdout); err != nil {
		t.Fatal(err)
	} else if err := unix.Close(int(got.Value)); err != nil {
		t.Fatal(err)
	}
	_ = shim.Close()
	_ = io.Close()
	until(t, func() bool { return descriptorsIn(t, directory) == 0 })
}

// withoutDaemon is a client of core that has no daemon.
func withoutDaemon(t *testing.T, core *Core) *Client {
	cl := &Client{core: core, streams: map[*stdio]struct{}{}}
	cl.ctx, cl.cancel = context.WithCancel(t.Context())
	t.Cleanup(cl.cancel)
	return cl
}

// streamsIn are a process's streams before anybody has attached to them, with the descriptors that attaching needs.
func streamsIn(t *testing.T, cl *Client, directory string) (*cio.DirectIO, *spare) {
	t.Helper()
	dio, err := cio.NewDirectIO(cl.ctx, fifosIn(directory))
	if err != nil {
		t.Fatal(err)
	}
	spare, err := newSpare()
	if err != nil {
		t.Fatal(err)
	}
	return dio, spare
}

// stuck is a stdin whose close waits for containerd.
type stuck chan struct{}

func (s stuck) Write(p []byte) (int, error) { return len(p), nil }
func (s stuck) Close() error                { <-s; return nil }

func TestTheCloseOfAStreamHasADeadline(t *testing.T) {
	core := New(recorder{}, 0)
	cl := withoutDaemon(t, core)
	stdin := make(stuck)
	defer close(stdin)
	dio := &cio.DirectIO{}
	dio.Stdin = stdin
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var err error
	finish(t, func() { _, err = core.CloseStream(ctx, core.handles.Put(&stdio{client: cl, dio: dio}), Stdin) })
	if err != context.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
}

// deletedExec is an exec whose task is deleted.
type deletedExec struct {
	libcontainerdtypes.Process
	embedded
}

func (deletedExec) Status(context.Context) (containerd.Status, error) {
	return containerd.Status{}, cerrdefs.ErrNotFound
}

func (deletedExec) ID() string { return "e" }

// telling attaches, and tells of the calls of cio.IO.
type telling struct {
	recorder
	calls chan IOCall
}

func (t telling) Stdio(uint64, uint64, *DirectIO) StdioAnswer { return StdioAttached }
func (t telling) IO(_ uint64, call IOCall)                    { t.calls <- call }

func TestStreamsAreLetGoOfAnExecThatIsMadeWhileItsTaskIsDeleted(t *testing.T) {
	for name, order := range map[string]func(deleted, made func()){
		"deleted first": func(deleted, made func()) { deleted(); made() },
		"made first":    func(deleted, made func()) { made(); deleted() },
	} {
		t.Run(name, func(t *testing.T) {
			calls := make(chan IOCall, 1)
			cl := withoutDaemon(t, New(telling{calls: calls}, 0))
			dio, spare := streamsIn(t, cl, t.TempDir())
			attach, made := (&Container{client: cl, id: "a"}).attach(1, spare, nil)
			if _, err := attach(dio); err != nil {
				t.Fatal(err)
			}
			deleted := cl.deleting("a")
			order(deleted, func() { made(deletedExec{}) })
			if call := within(t, calls); call != IOForget {
				t.Errorf("called %d", call)
			}
			_ = dio.Close()
		})
	}
}

// noted is a stream that notes how often it is closed.
type noted struct{ closed *int }

func (noted) Write(p []byte) (int, error) { return len(p), nil }
func (n noted) Close() error              { *n.closed++; return nil }

// wrapped is libcontainerd's stdin: its close also tells containerd.
type wrapped struct {
	io.Writer
	told *int
}

func (w wrapped) Close() error { *w.told++; return w.Writer.(io.Closer).Close() }

func TestTheStdinOfAnOrphanEndsThatOfNoOtherProcess(t *testing.T) {
	for _, orphaned := range []bool{false, true} {
		closed, told := 0, 0
		cl := lonely(t)
		dio := &cio.DirectIO{}
		dio.Stdin = wrapped{noted{&closed}, &told}
		s := &stdio{client: cl, dio: dio}
		s.orphaned.Store(orphaned)
		if _, err := cl.core.CloseStream(t.Context(), cl.core.handles.Put(s), Stdin); err != nil {
			t.Fatal(err)
		}
		if closed != 1 || (told == 0) != orphaned {
			t.Errorf("orphaned: %t; closed %d times, and containerd was told %d times", orphaned, closed, told)
		}
	}
}

func TestAnOrphanIsClosedWhenItIsReleasedAndItsFIFOsStay(t *testing.T) {
	for name, releaseFirst := range map[string]bool{"released first": true, "orphaned first": false} {
		t.Run(name, func(t *testing.T) {
			io, directory, calls := attached(t, StdioAttached, nil)
			s := io.(*stdio)
			release := func() {
				if err := s.client.core.Release(s.handle); err != nil {
					t.Fatal(err)
				}
			}
			if releaseFirst {
				release()
			}
			if len(*calls) != 0 || len(s.client.streams) != 1 {
				t.Fatalf("called %v", *calls)
			}
			s.orphan()
			if !releaseFirst {
				release()
			}
			_ = io.Close()
			if want := []IOCall{IOForget}; !slices.Equal(*calls, want) {
				t.Errorf("called %v, not %v", *calls, want)
			}
			if len(s.client.streams) != 0 {
				t.Error("its client keeps it")
			}
			until(t, func() bool { return descriptorsIn(t, directory) == 0 })
			if fifos, err := os.ReadDir(directory); err != nil || len(fifos) != 3 {
				t.Errorf("left are %v: %v", fifos, err)
			}
		})
	}
}

func TestARefusedCallbackKeepsNothing(t *testing.T) {
	for _, answer := range []StdioAnswer{StdioFailed, StdioNone} {
		calls, during := []IOCall{}, func() {}
		cl := withoutDaemon(t, New(answering{answer: answer, calls: &calls, during: &during}, 0))
		dio, spare := streamsIn(t, cl, t.TempDir())
		attach, _ := (&Container{client: cl, id: "a"}).attach(1, spare, nil)
		if _, err := attach(dio); (kind.Of(err) == kind.Callback) != (answer == StdioFailed) {
			t.Errorf("got %v", err)
		}
		if cl.core.handles.Len() != 0 || len(cl.streams) != 0 || len(calls) != 0 {
			t.Errorf("%d handles and %d streams are kept; called %v", cl.core.handles.Len(), len(cl.streams), calls)
		}
		_ = dio.Close()
	}
}
