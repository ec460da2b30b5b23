package core

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

func TestAGateLetsOneInForEachKey(t *testing.T) {
	var g gates
	leave, err := g.enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := g.enter(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.enter(ended, "a"); !errors.Is(err, context.Canceled) {
		t.Fatalf("two inside: %v", err)
	}
	inside := make(chan func(), 1)
	go func() {
		if leave, err := g.enter(t.Context(), "a"); err == nil {
			inside <- leave
		}
	}()
	until(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.gates["a"].users == 2 })
	leave()
	leave = within(t, inside)
	leave()
	if leave, err = g.enter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	leave()
	if len(g.gates) != 0 {
		t.Fatalf("%d gates are kept", len(g.gates))
	}
}

func TestCriusReasonIsInItsLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a dir", "criu-dump.log")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("criu failed: type NOTIFY errno 0 path= " + path + ": unknown")
	begun := time.Now().Add(-time.Minute)
	if err := withCriuReason(failed, begun); err != failed {
		t.Fatalf("without a log: %v", err)
	}
	log := "(00.01) fine\n(00.02)      1: Error (criu/a.c:1): first\nError (criu/b.c:2): second\n(00.03) Error (criu/b.c:2): second"
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	var reason *criuError
	err := withCriuReason(failed, begun)
	if !errors.As(err, &reason) || reason.Detail() != "Error (criu/a.c:1): first\nError (criu/b.c:2): second" {
		t.Fatalf("got %+v", reason)
	}
	if err.Error() != failed.Error() || kind.Of(err) != kind.Of(failed) {
		t.Fatalf("text or kind changed: %v", err)
	}
	// The log of an earlier checkpoint.
	if err := withCriuReason(failed, time.Now().Add(time.Minute)); err != failed {
		t.Fatalf("a stale log is taken: %v", err)
	}
}

func TestAFailedCheckpointLeavesNoDirectoryThatWasMadeForIt(t *testing.T) {
	there := t.TempDir()
	deep := filepath.Join(there, "a", "b", "c")
	place, err := prepareCheckpointDir(deep)
	if err != nil || len(place.made) != 3 {
		t.Fatalf("made %v: %v", place, err)
	}
	defer place.close()
	if err := os.WriteFile(filepath.Join(deep, "pages.img"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := place.clear(); err != nil {
		t.Fatal(err)
	}
	if place, err = prepareCheckpointDir(there); err != nil || len(place.made) != 0 {
		t.Fatalf("what was there is left: %v: %v", place, err)
	}
	defer place.close()
	if err := place.clear(); err != nil {
		t.Fatal(err)
	}

	_, err = prepareCheckpointDir(filepath.Join(there, "f", strings.Repeat("x", 300), "g"))
	if err == nil {
		t.Fatal("a name that is too long")
	}
	if entries, _ := os.ReadDir(there); len(entries) != 0 {
		t.Fatalf("left: %v", entries)
	}
}

func TestAFailedCheckpointIsClearedFromTheDirectoryThatItWasMadeIn(t *testing.T) {
	there := t.TempDir()
	directory, other := filepath.Join(there, "c"), filepath.Join(there, "other")
	place, err := prepareCheckpointDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(directory, "pages.img"), nil, 0o600), os.Rename(directory, directory+"-away"),
		os.Mkdir(other, 0o700), os.WriteFile(filepath.Join(other, "precious"), nil, 0o600), os.Symlink(other, directory)); err != nil {
		t.Fatal(err)
	}
	_ = place.clear()
	place.close()
	if entries, _ := os.ReadDir(directory + "-away"); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
	if entries, _ := os.ReadDir(other); len(entries) != 1 {
		t.Error("what is in another directory was removed")
	}
}

func TestAFailedCheckpointRemovesNoDirectoryOfThatNameElsewhere(t *testing.T) {
	there := t.TempDir()
	above, other := filepath.Join(there, "above"), filepath.Join(there, "other")
	place, err := prepareCheckpointDir(filepath.Join(above, "c"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(other, "c"), 0o700), os.Rename(above, above+"-away"), os.Symlink(other, above)); err != nil {
		t.Fatal(err)
	}
	_ = place.clear()
	place.close()
	if _, err := os.Stat(filepath.Join(other, "c")); err != nil {
		t.Error(err)
	}
}

func TestACheckpointMixesWithNoFile(t *testing.T) {
	there := t.TempDir()
	if err := os.WriteFile(filepath.Join(there, "pages.img"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := prepareCheckpointDir(there); kind.Of(err) != kind.AlreadyExists {
		t.Fatal(err)
	}
	if _, err := prepareCheckpointDir(filepath.Join(there, "pages.img", "below")); kind.Of(err) != kind.InvalidArgument {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(there); len(entries) != 1 {
		t.Fatalf("left: %v", entries)
	}
}

func TestACheckpointNeedsAnAbsoluteDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := prepareCheckpointDir("./a/../b")
	if kind.Of(err) != kind.InvalidArgument || kind.Of(restorable("b")) != kind.InvalidArgument {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir("."); len(entries) != 0 {
		t.Fatalf("left: %v", entries)
	}
}

func TestADirectoryOfAnotherUsersIsNoPlaceForACheckpoint(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	const user = 65534
	for _, name := range []string{"its own", "one above"} {
		t.Run(name, func(t *testing.T) {
			theirs := filepath.Join(t.TempDir(), "theirs")
			directory := filepath.Join(theirs, "c")
			if err := errors.Join(os.MkdirAll(directory, 0o700), os.WriteFile(filepath.Join(directory, "inventory.img"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			if name == "its own" {
				theirs = directory
			}
			if err := os.Chown(theirs, user, user); err != nil {
				t.Fatal(err)
			}
			if err := restorable(directory); kind.Of(err) != kind.FailedPrecondition {
				t.Errorf("restored: %v", err)
			}
			if err := os.Remove(filepath.Join(directory, "inventory.img")); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{directory, filepath.Join(directory, "new")} {
				if _, err := prepareCheckpointDir(path); kind.Of(err) != kind.FailedPrecondition {
					t.Errorf("%q is used: %v", path, err)
				}
			}
			if entries, _ := os.ReadDir(directory); len(entries) != 0 {
				t.Errorf("left: %v", entries)
			}
		})
	}
}

// A directory that is made and removed again leaves its trace in the one above.
func TestNoDirectoryForACheckpointIsMadeWhereAnotherUsersLinkLeads(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' links need root")
	}
	there := t.TempDir()
	elsewhere, link := filepath.Join(there, "elsewhere"), filepath.Join(there, "link")
	if err := errors.Join(os.Mkdir(elsewhere, 0o700), os.Symlink(elsewhere, link), os.Lchown(link, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prepareCheckpointDir(filepath.Join(link, "a", "b")); kind.Of(err) != kind.FailedPrecondition {
		t.Errorf("it is used: %v", err)
	}
	if after, err := os.Stat(elsewhere); err != nil || after.ModTime() != before.ModTime() {
		t.Errorf("a directory was made there: %v", err)
	}
}

func TestAFIFOIsRefusedAsACheckpointDirectory(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "c")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := prepareCheckpointDir(fifo)
		done <- err
	}()
	select {
	case err := <-done:
		if kind.Of(err) != kind.InvalidArgument {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a writer")
	}
}
