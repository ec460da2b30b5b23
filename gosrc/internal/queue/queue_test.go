package queue

import (
	"testing"

	"golang.org/x/sys/unix"
)

func newQueue(t *testing.T) *Queue {
	t.Helper()
	q, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// readable tells whether who polls a queue's descriptor is woken.
func readable(t *testing.T, q *Queue) bool {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(q.FD()), Events: unix.POLLIN}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func TestAQueueIsReadableWhileItHoldsCompletions(t *testing.T) {
	q := newQueue(t)
	if readable(t, q) {
		t.Fatal("readable while it is empty")
	}
	for round := range 2 {
		for op := range int64(3) {
			if !q.Push(Completion{Op: op}) || !readable(t, q) {
				t.Fatalf("round %d: not readable after push %d", round, op)
			}
		}
		for op := range int64(3) {
			if done := q.Drain(1); len(done) != 1 || done[0].Op != op {
				t.Fatalf("round %d: drained %v, not %d alone", round, done, op)
			}
			if readable(t, q) != (op < 2) {
				t.Fatalf("round %d: readable: %t, with %d left", round, op == 2, 2-op)
			}
		}
		if done := q.Drain(8); len(done) != 0 {
			t.Fatalf("drained %v from an empty queue", done)
		}
	}
}

func TestAClosedQueueReturnsWhatItHoldsOnceAndTakesNoMore(t *testing.T) {
	q := newQueue(t)
	q.Push(Completion{Op: 1})
	q.Push(Completion{Op: 2})
	if rest := q.Close(); len(rest) != 2 || rest[0].Op != 1 || rest[1].Op != 2 {
		t.Fatalf("returned %v", rest)
	}
	if q.Push(Completion{Op: 3}) {
		t.Fatal("took a completion that nobody will drain")
	}
	if rest := q.Close(); len(rest) != 0 {
		t.Fatalf("returned %v again", rest)
	}
}

func TestAClosedQueueGivesItsDescriptorBackOnce(t *testing.T) {
	q := newQueue(t)
	fd := q.FD()
	q.Close()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Fatalf("its descriptor is still open: %v", err)
	}
	stranger, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(stranger) }()
	if stranger != fd {
		t.Skipf("the number %d went to another file", fd)
	}
	q.Close()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		t.Fatal("the second close closed a file that had got the number")
	}
}
