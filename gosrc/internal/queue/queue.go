// Package queue carries the outcomes of operations to whoever polls an eventfd for them.
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
	// Detail is what is known of an error beyond its text.
	Detail []byte
}

// Queue holds completions until they are drained. Its eventfd is readable while it holds any.
type Queue struct {
	mu     sync.Mutex
	fd     int
	done   []Completion
	closed bool
}

// New makes a queue and its eventfd, which the queue owns: were it closed by anyone else, a later write of ours could
// reach a stranger's file that was given the same number.
func New() (*Queue, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &Queue{fd: fd}, nil
}

// FD is the eventfd to poll.
func (q *Queue) FD() int { return q.fd }

// Push adds a completion. It reports false when the queue is closed and nobody will ever drain it.
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

// Close closes the eventfd and returns what was never drained, so that its owner can release it.
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
