package core

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestALogThatAnotherUserHasWrittenIsNoReason(t *testing.T) {
	begun := time.Now().Add(-time.Minute)
	path := filepath.Join(t.TempDir(), "dump.log")
	if err := os.WriteFile(path, []byte("Error (criu): so it is\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	reason := func(path string) string {
		var found *criuError
		errors.As(withCriuReason(errors.New("criu failed\nlog file: "+path), begun), &found)
		if found == nil {
			return ""
		}
		return found.reason
	}
	if got := reason(path); got != "Error (criu): so it is" {
		t.Fatalf("%q", got)
	}
	link := filepath.Join(t.TempDir(), "dump.log")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if got := reason(link); got != "" {
		t.Fatalf("a link: %q", got)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Skip(err)
	}
	if got := reason(path); got != "" {
		t.Fatalf("another user's: %q", got)
	}
}

func TestOnlyTheEndOfAHugeLogIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dump.log")
	const hole = 1 << 30
	write(t, path)
	if err := os.Truncate(path, hole); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	readCriuLog(path, time.Now().Add(-time.Minute))
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > hole/4 {
		t.Errorf("it took %d MiB", took>>20)
	}
}
