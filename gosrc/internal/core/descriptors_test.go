package core

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// leave limits descriptors for the rest of a test: so many are left, counted from the lowest that is free.
func leave(t *testing.T, left uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	lowest, err := openNull()
	if err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: uint64(lowest) + left, Max: before.Max}
	if err := errors.Join(unix.Close(lowest), unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
}

func TestStreamsNeedDescriptors(t *testing.T) {
	for left, enough := range map[uint64]bool{0: false, streamDescriptors - 1: false, 64: true} {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			leave(t, left)
			spare, err := newSpare()
			if err == nil {
				spare.release()
			}
			if (err == nil) != enough || err != nil && (kind.Of(err) != kind.ResourceExhausted || !strings.Contains(err.Error(), "too many open files")) {
				t.Error(err)
			}
		})
	}
}

// nextFree is the number that a descriptor would have after so many others.
func nextFree(t *testing.T, after int) (number int) {
	t.Helper()
	for range after + 1 {
		fd, err := openNull()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
		number = fd
	}
	return number
}

// containerd's fifo package would try to open one for ever.
func TestTheStreamsOfAClosedClientAreLetGoThoughNoDescriptorIsLeft(t *testing.T) {
	cl := withoutDaemon(t, New(recorder{}, 0))
	opening := nextFree(t, 7) // for each of three FIFOs its handle and its open that waits, and the spare
	dio, spare := streamsIn(t, cl, t.TempDir())
	s := &stdio{client: cl, spare: spare, dio: dio}
	until(t, func() bool { return nextFree(t, 0) >= opening })
	leave(t, 0)
	finish(t, s.detach)
}
