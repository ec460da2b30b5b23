package core

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// dockerd starts tasks under a context that nothing cancels (moby's daemon/start.go), because a start that is cut off in the
// middle leaves half a task behind. pyctd does the same for starts, execs and checkpoints: the caller's context ends the wait,
// never the work.

// undoTimeout bounds the removal of what an abandoned or failed start has made. libcontainerd gives its own clean-up of an exec
// as long.
const undoTimeout = 45 * time.Second

// seeThrough runs work under a context that outlives ctx, and returns what it made. If ctx ends first, the caller gets ctx's
// error with fate, which says what becomes of the work, and undo removes what the work eventually makes. A nil undo keeps it.
//
// If ctx has already ended, work gets ctx itself: libcontainerd then refuses in its own words.
func seeThrough[T any](ctx context.Context, cl *Client, key processName, fate string, work func(context.Context) (T, error), undo func(context.Context, T)) (T, error) {
	type outcome struct {
		made T
		err  error
	}
	if ctx.Err() != nil {
		return work(ctx)
	}
	done := make(chan outcome) // unbuffered: either the caller takes the outcome, or it is undone
	abandoned := make(chan func(), 1)
	open := cl.use(func() {
		long, cancel := cl.outlasting(ctx)
		defer cancel()
		var out outcome
		out.made, out.err = protect(func() (T, error) { return work(long) })
		select {
		case done <- out:
		case undone := <-abandoned:
			defer undone()
			switch {
			case out.err != nil && undo != nil:
				log.G(ctx).WithError(out.err).WithField("container", key.container).Info("an abandoned call failed: nothing is to be undone")
			case out.err != nil:
				log.G(ctx).WithError(out.err).WithField("container", key.container).Warn("an abandoned call failed")
			case undo != nil:
				undo(long, out.made)
			}
		}
	})
	if !open {
		return outcome{}.made, kind.ErrClosed
	}
	out, err := receive(ctx, done)
	if err != nil {
		abandoned <- cl.core.undoings.begin(undoing{cl, key})
		return out.made, fmt.Errorf("%w: %s", err, fate)
	}
	return out.made, out.err
}

// outlasting returns a context that outlives ctx. A closed client ends it after undoTimeout, so that a daemon that never
// answers does not keep the connection open.
func (cl *Client) outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(cl.ctx, func() {
		timer := time.AfterFunc(undoTimeout, cancel)
		context.AfterFunc(long, func() { timer.Stop() })
	})
	return long, func() { stop(); cancel() }
}

// An undoing is an abandoned call, identified by the process that it makes.
type undoing struct {
	client  *Client
	process processName
}

// undoings are the abandoned calls not yet undone. The zero value is ready for use.
type undoings struct {
	mu      sync.Mutex
	pending map[undoing][]chan struct{}
}

// begin notes one; the caller calls end when it is over.
func (u *undoings) begin(one undoing) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	done := make(chan struct{})
	if u.pending == nil {
		u.pending = map[undoing][]chan struct{}{}
	}
	u.pending[one] = append(u.pending[one], done)
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		close(done)
		left := slices.DeleteFunc(u.pending[one], func(other chan struct{}) bool { return other == done })
		if u.pending[one] = left; len(left) == 0 {
			delete(u.pending, one)
		}
	}
}

// next returns a channel that closes when one wanted undoing ends; nil if there is none.
func (u *undoings) next(wanted func(undoing) bool) <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	for one, pending := range u.pending {
		if wanted(one) {
			return pending[0]
		}
	}
	return nil
}

// wait returns once no wanted undoing is left.
func (u *undoings) wait(ctx context.Context, wanted func(undoing) bool) error {
	for {
		next := u.next(wanted)
		if next == nil {
			return nil
		}
		if _, err := receive(ctx, next); err != nil {
			return err
		}
	}
}

// undone returns once no abandoned call for a process is under way, so that the process can be started again after its start or
// deletion was abandoned.
func (cl *Client) undone(ctx context.Context, process processName) error {
	err := cl.core.undoings.wait(ctx, func(one undoing) bool { return one == undoing{cl, process} })
	if err != nil {
		return fmt.Errorf("%w: an earlier call for %q has not ended", err, process.process)
	}
	return nil
}

// Undone waits at most timeout until no abandoned call is left to undo, and reports whether none is. It ignores calls that only
// a vanished daemon could undo.
func (c *Core) Undone(timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return c.undoings.wait(ctx, func(one undoing) bool { return one.client.connected() }) == nil
}

// connected reports whether the daemon can be reached. A client made of services, without a connection, always can.
func (cl *Client) connected() bool {
	conn, _ := cl.daemon.Conn().(*grpc.ClientConn)
	return conn == nil || conn.GetState() == connectivity.Ready
}

// receive takes one value from a channel, or returns ctx's error. A value that is already there wins over an ended context: a
// plain select would choose at random.
func receive[T any](ctx context.Context, from <-chan T) (T, error) {
	select {
	case value := <-from:
		return value, nil
	case <-ctx.Done():
	}
	select {
	case value := <-from:
		return value, nil
	default:
		var none T
		return none, ctx.Err()
	}
}
