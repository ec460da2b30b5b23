package core

import (
	"errors"
	"os"
	"path/filepath"
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
