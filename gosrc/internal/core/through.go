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
// middle leaves half a task behind. pyctd does the same for starts, execs and checkpoints: the caller's context ends the
// wait, never the work.

// undoTimeout bounds the removal of what an abandoned or failed start has made. libcontainerd gives the same clean-up of an
// exec as long.
const undoTimeout = 45 * time.Second

// seeThrough runs work under a context that outlives ctx, and returns what it made. When ctx ends first, the caller gets
// ctx's error with fate, which says what becomes of the work, and undo removes what the work makes after all. A nil undo
// leaves it.
//
// Work gets ctx itself if ctx has ended already: libcontainerd then refuses in its own words.
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

// outlasting gives a context that goes on when ctx has ended. A closed client ends it after undoTimeout, so that a daemon
// that never answers does not keep the connection.
func (cl *Client) outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(cl.ctx, func() {
		timer := time.AfterFunc(undoTimeout, cancel)
		context.AfterFunc(long, func() { timer.Stop() })
	})
	return long, func() { stop(); cancel() }
}

// An undoing is an abandoned call by the process that it makes.
type undoing struct {
	client  *Client
	process processName
}

// undoings are the abandoned calls that have not been undone yet. The zero value is ready for use.
type undoings struct {
	mu      sync.Mutex
	pending map[undoing][]chan struct{}
}

// begin notes one; the caller calls what it returns at its end.
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

// next is closed at the end of one that is wanted; nil if there is none.
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

// wait returns when no undoing that is wanted is left.
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

// undone returns when no abandoned call for a process goes on, so that it can be started again after its start or its
// deletion was abandoned.
func (cl *Client) undone(ctx context.Context, process processName) error {
	err := cl.core.undoings.wait(ctx, func(one undoing) bool { return one == undoing{cl, process} })
	if err != nil {
		return fmt.Errorf("%w: an earlier call for %q has not ended", err, process.process)
	}
	return nil
}

// Undone waits at most timeout until no abandoned call is left to undo, and tells whether none is. What only a daemon could
// undo that has gone is not waited for.
func (c *Core) Undone(timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return c.undoings.wait(ctx, func(one undoing) bool { return one.client.connected() }) == nil
}

// connected tells whether the daemon can be reached; one that is made of services, without a connection, always can.
func (cl *Client) connected() bool {
	conn, _ := cl.daemon.Conn().(*grpc.ClientConn)
	return conn == nil || conn.GetState() == connectivity.Ready
}

// receive takes one value from a channel, or ctx's error. A value that is there already wins over a context that has
// ended: a plain select would toss a coin.
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
