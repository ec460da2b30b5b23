package core

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
)

// created is the event of a task that is restored from a directory.
func created(t *testing.T, container, directory string) *events.Envelope {
	t.Helper()
	event, err := typeurl.MarshalAny(&apievents.TaskCreate{ContainerID: container, Checkpoint: directory})
	if err != nil {
		t.Fatal(err)
	}
	return &events.Envelope{Event: event}
}

func TestOnlyADirectoryThatContainerdHasMadeIsALeftover(t *testing.T) {
	for directory, want := range map[string]string{
		"/tmp/ctrd-checkpoint123": "/tmp/ctrd-checkpoint123", "/home/me/checkpoint": "", "/tmp/ctrd-checkpoint": "", "/tmp/my-ctrd-checkpoint1": "",
	} {
		var l leftovers
		wait, stop := l.expect("a")
		l.see(created(t, "other", "/tmp/ctrd-checkpoint9"))
		l.see(created(t, "a", directory))
		if got := wait(t.Context()); got != want {
			t.Errorf("%q: %q is to be removed", directory, got)
		}
		stop()
		if len(l.expected) != 0 {
			t.Error("it is expected still")
		}
	}
}

func TestAnEventThatIsRepeatedHoldsUpNone(t *testing.T) {
	var l leftovers
	wait, stop := l.expect("a")
	defer stop()
	finish(t, func() {
		for range 3 {
			l.see(created(t, "a", "/tmp/ctrd-checkpoint1"))
		}
	})
	if got := wait(t.Context()); got != "/tmp/ctrd-checkpoint1" {
		t.Fatalf("got %q", got)
	}
}

func TestAnEventThatIsLostHoldsUpNoRestoreForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock moves on once all wait
		var l leftovers
		wait, stop := l.expect("a")
		defer stop()
		begun := time.Now()
		if got := wait(context.Background()); got != "" || time.Since(begun) != createEventTimeout {
			t.Errorf("got %q after %s", got, time.Since(begun))
		}
	})
}
