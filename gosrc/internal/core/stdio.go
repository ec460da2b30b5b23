package core

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/cio"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// cio's types, renamed so that the C layer can use them without importing cio.
type (
	DirectIO = cio.DirectIO
	IOConfig = cio.Config
)

// Stream names one of the three standard streams.
type Stream int32

// The streams, as in pyctd.h.
const (
	Stdin Stream = iota
	Stdout
	Stderr
)

var (
	allStreams = []Stream{Stdin, Stdout, Stderr}
	outputs    = []Stream{Stdout, Stderr}
)

// stdio is a DirectIO whose streams are used on the other side of the boundary. To containerd's client it is the process's
// cio.IO.
type stdio struct {
	client *Client
	owner  string // the container's id

	process embedded // nil until it is made; the client's lock guards this and suspect
	suspect bool     // a task of the container was deleted since, possibly this process's

	cookie uint64
	spare  *spare
	handle uint64
	dio    *cio.DirectIO
	config atomic.Pointer[cio.Config] // replaces the DirectIO's, if the callback sets it
	opened context.CancelFunc         // ends the context under which the FIFOs were opened; nil if that is the process's own
	closed atomic.Bool                // no further call goes to the other side

	orphaned atomic.Bool
	once     sync.Once
	err      error
}

// attach makes the StdioCallback that asks the other side. A non-nil end means that the process is already running. The caller
// calls made once it has the process.
func (ctr *Container) attach(cookie uint64, spare *spare, end context.CancelFunc) (callback libcontainerdtypes.StdioCallback, made func(libcontainerdtypes.Process)) {
	cl := ctr.client
	var streams *stdio
	without := func(dio *cio.DirectIO) (cio.IO, error) { return none(dio, cl.closeFIFOs) }
	if end != nil {
		without = func(dio *cio.DirectIO) (cio.IO, error) {
			defer end()
			letGo(dio)
			return cio.NullIO("")
		}
	}
	refuse := func(dio *cio.DirectIO, why error) (cio.IO, error) { // libcontainerd then cancels and closes the DirectIO
		if checkStateDir(cl.stateDir) != nil {
			letGo(dio)
			*dio = cio.DirectIO{}
		}
		return nil, why
	}
	callback = func(dio *cio.DirectIO) (cio.IO, error) {
		if cookie == 0 {
			spare.release()
			return without(dio)
		}
		s := &stdio{client: cl, owner: ctr.id, cookie: cookie, spare: spare, dio: dio, opened: end, suspect: end != nil}
		s.handle = cl.core.handles.Put(s)
		cl.mu.Lock()
		open := !cl.closed
		if open {
			cl.streams[s] = struct{}{}
		}
		cl.mu.Unlock()
		answer := StdioFailed
		if open {
			answer = cl.core.callbacks.Stdio(cookie, s.handle, dio)
		}
		switch answer {
		case StdioAttached:
			cl.mu.Lock()
			open = !cl.closed
			cl.mu.Unlock()
			if !open { // the client was closed while the callback ran, when there was no IO to close yet
				s.detach()
				if end == nil {
					return refuse(dio, kind.ErrClosed) // nobody reads what a new process would write
				}
			}
			streams = s
			return s, nil
		case StdioNone:
			s.drop()
			spare.release()
			return without(dio)
		}
		s.drop()
		spare.release()
		if !open {
			return refuse(dio, kind.ErrClosed)
		}
		return refuse(dio, kind.ErrCallback)
	}
	return callback, func(process libcontainerdtypes.Process) {
		if streams != nil {
			streams.isOf(process.(embedded))
		}
	}
}

// Config is cio.IO's.
func (s *stdio) Config() cio.Config {
	if config := s.config.Load(); config != nil {
		return *config
	}
	return s.dio.Config()
}

// Cancel is cio.IO's. The process has ended, or was never made. Cancelling the DirectIO closes each FIFO that its fifo package
// does not know to be open; that would lose the output of a process whose FIFO opened a moment ago.
func (s *stdio) Cancel() {
	s.spare.release()
	if !s.closed.Load() { // closed FIFOs are removed, and their names may be another process's
		finishOpening(s.dio, outputs)
	}
	s.dio.Cancel()
	s.call(IOCancel)
}

// Wait is cio.IO's.
func (s *stdio) Wait() {
	s.call(IOWait)
	s.dio.Wait()
}

// Close is cio.IO's.
func (s *stdio) Close() error {
	s.forget()
	s.call(IOClose)
	return s.end(s.closeFIFOs)
}

func (s *stdio) closeFIFOs() error { return s.client.closeFIFOs(s.dio) }

// closeFIFOs closes a DirectIO, which removes its FIFOs by name, unless these names may lead to another user's directory.
func (cl *Client) closeFIFOs(dio *cio.DirectIO) error {
	if checkStateDir(cl.stateDir) != nil {
		letGo(dio)
		return nil
	}
	return dio.Close()
}

// call makes a call on the other side, but none after the last: after a failed start both containerd's client and libcontainerd
// clean up, and cancel what is closed.
func (s *stdio) call(which IOCall) {
	last := which == IOClose || which == IOForget
	if last && s.closed.Swap(true) || !last && s.closed.Load() {
		return
	}
	s.client.core.callbacks.IO(s.cookie, which)
}

// end closes the streams in one of two ways, once: DirectIO.Close removes FIFOs by name, and later FIFOs of those names are
// another process's.
func (s *stdio) end(way func() error) error {
	s.once.Do(func() {
		s.err = way()
		if s.opened != nil {
			s.opened()
		}
	})
	return s.err
}

// forget keeps the handle: as in Go, closing stdin tells containerd even after the DirectIO is closed.
func (s *stdio) forget() {
	s.client.mu.Lock()
	delete(s.client.streams, s)
	s.client.mu.Unlock()
}

// drop is forget for streams that the other side has not taken; it removes the handle.
func (s *stdio) drop() {
	s.forget()
	_, _ = s.client.core.handles.Take(s.handle)
}

// detach lets go of the streams of a process that keeps running.
func (s *stdio) detach() {
	_, _ = s.client.core.handles.Take(s.handle)
	s.spare.release()
	letGo(s.dio)
	s.call(IOClose)
	if s.opened != nil {
		s.opened()
	}
}

// letGo closes our descriptors, keeps the FIFOs for the next client to attach to, and does not tell the process that its stdin
// has ended.
func letGo(dio *cio.DirectIO) {
	dio.Cancel()
	for _, stream := range allStreams {
		if pipe, err := pipeOf(dio, stream); err == nil {
			_ = pipe.(io.Closer).Close()
		}
	}
}

// pipeOf returns the FIFO behind a stream. libcontainerd wraps stdin, so that Close also tells containerd; the FIFO is the
// writer embedded in its wrapper. A test checks that against the pinned module.
func pipeOf(dio *cio.DirectIO, stream Stream) (any, error) {
	var pipe any
	switch {
	case stream == Stdin && dio.Stdin != nil:
		pipe = dio.Stdin
		if wrapper := reflect.Indirect(reflect.ValueOf(pipe)); wrapper.Kind() == reflect.Struct {
			if writer := wrapper.FieldByName("Writer"); writer.IsValid() {
				pipe = writer.Interface()
			}
		}
	case stream == Stdout && dio.Stdout != nil:
		pipe = dio.Stdout
	case stream == Stderr && dio.Stderr != nil:
		pipe = dio.Stderr
	default:
		return nil, invalid(fmt.Errorf("the process has no stream %d", stream))
	}
	return pipe, nil
}

func (c *Core) stdio(h uint64) (*stdio, error) {
	s, err := handle.Get[*stdio](&c.handles, h)
	if err != nil {
		return nil, err
	}
	return s, s.client.check()
}

// SetStdioConfig sets what the IO's Config returns.
func (c *Core) SetStdioConfig(h uint64, config cio.Config) error {
	s, err := c.stdio(h)
	if err == nil {
		s.config.Store(&config)
	}
	return err
}

// OpenStdio waits until a stream's FIFO is open at both ends and returns a new descriptor for it.
func (c *Core) OpenStdio(ctx context.Context, h uint64, stream Stream) (Result, error) {
	s, err := c.stdio(h)
	if err != nil {
		return Result{}, err
	}
	pipe, err := pipeOf(s.dio, stream)
	if err != nil {
		return Result{}, err
	}
	conn, err := pipe.(syscall.Conn).SyscallConn()
	if err != nil {
		return Result{}, closedFIFO(err)
	}
	type outcome struct {
		fd  int
		err error
	}
	opened := make(chan outcome, 1)
	spawn(func() {
		var out outcome
		out.fd, out.err = protect(func() (fd int, failed error) {
			if err := conn.Control(func(pipe uintptr) {
				fd, failed = unix.FcntlInt(pipe, unix.F_DUPFD_CLOEXEC, 0)
			}); err != nil {
				return 0, closedFIFO(err)
			}
			if failed == nil {
				failed = unix.SetNonblock(fd, false)
			}
			return fd, failed
		})
		opened <- out
	})
	out, err := receive(ctx, opened)
	if err != nil {
		spawn(func() { // the FIFO may still open; its end, at the latest, ends this
			if out := <-opened; out.err == nil {
				_ = unix.Close(out.fd)
			}
		})
		return Result{}, err
	}
	return Result{Value: uint64(out.fd)}, out.err
}

func closedFIFO(err error) error { return fmt.Errorf("%w: %w", kind.ErrClosed, err) }

// CloseStream closes one stream. If ctx ends first, it continues in the background: libcontainerd tells containerd that stdin
// has ended, and waits for the answer.
func (c *Core) CloseStream(ctx context.Context, h uint64, stream Stream) (Result, error) {
	s, err := c.stdio(h)
	if err != nil {
		return Result{}, err
	}
	pipe, err := pipeOf(s.dio, stream)
	if err != nil {
		return Result{}, err
	}
	closer := pipe.(io.Closer)
	if stream == Stdin && !s.orphaned.Load() { // otherwise containerd would end the stdin of the next process of that name
		closer = s.dio.Stdin
	}
	closed := make(chan error, 1)
	spawn(func() {
		_, err := protect(func() (struct{}, error) { return struct{}{}, closer.Close() })
		closed <- err
	})
	failed, err := receive(ctx, closed)
	if err != nil {
		return Result{}, err
	}
	return Result{}, failed
}

// CancelStdio is DirectIO.Cancel.
func (c *Core) CancelStdio(h uint64) (Result, error) {
	s, err := c.stdio(h)
	if err == nil {
		s.dio.Cancel()
	}
	return Result{}, err
}

// CloseStdio is DirectIO.Close.
func (c *Core) CloseStdio(h uint64) (Result, error) {
	s, err := c.stdio(h)
	if err != nil {
		return Result{}, err
	}
	s.forget()
	return Result{}, s.end(s.closeFIFOs)
}
