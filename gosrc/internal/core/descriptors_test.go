package core

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

func TestStreamsNeedDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	file, err := os.Open(os.DevNull) // the lowest descriptor that is free
	if err != nil {
		t.Fatal(err)
	}
	lowest := uint64(file.Fd())
	_ = file.Close()
	for left, enough := range map[uint64]bool{0: false, streamDescriptors - 1: false, 64: true} {
		limit := unix.Rlimit{Cur: lowest + left, Max: before.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		spare, err := newSpare()
		if err == nil {
			spare.release()
		}
		if (err == nil) != enough || err != nil && (kind.Of(err) != kind.ResourceExhausted || !strings.Contains(err.Error(), "too many open files")) {
			t.Errorf("%d left: %v", left, err)
		}
	}
}
