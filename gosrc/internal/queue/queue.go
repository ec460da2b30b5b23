// Package queue carries the outcomes of operations to a reader that polls an eventfd.
package queue

import (
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// Completion is the outcome of one operation; pyctd_completion in pyctd.h says what each field means.
type Completion struct {
	Op    int64
	Kind  kind.Kind
	Code  uint32
	Value uint64
	At    time.Time
	Data  []byte
	// Detail is what an error's text leaves out, or what an operation reports beside its data.
	Detail []byte
}

// Queue holds completions until they are drained. Its eventfd is readable while it holds any.
type Queue struct {
	mu     sync.Mutex
	fd     int
	done   []Completion
	closed bool
}

// New makes a queue and its eventfd. The queue owns the eventfd: if anyone else closed it, a later write of ours could reach an
// unrelated file that got the same number.
func New() (*Queue, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &Queue{fd: fd}, nil
}

// FD returns the eventfd to poll.
func (q *Queue) FD() int { return q.fd }

// Push adds a completion. It reports false if the queue is closed, so that nobody will ever drain it.
func (q *Queue) Push(c Completion) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.done = append(q.done, c)
	if len(q.done) == 1 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(q.fd, one[:]) // can't fail: the counter is at 0 whenever the queue is empty
	}
	return true
}

// Drain moves at most limit completions out.
func (q *Queue) Drain(limit int) []Completion {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(limit, len(q.done))
	out := q.done[:n:n]
	q.done = q.done[n:]
	if len(q.done) == 0 {
		q.done = nil
		if n > 0 {
			var count [8]byte
			_, _ = unix.Read(q.fd, count[:])
		}
	}
	return out
}

// Close closes the eventfd and returns the completions never drained, so that the owner can release what they hold.
func (q *Queue) Close() []Completion {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	_ = unix.Close(q.fd)
	rest := q.done
	q.done = nil
	return rest
}
