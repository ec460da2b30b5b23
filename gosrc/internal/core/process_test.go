package core

import (
	"context"
	"errors"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// waited is an exec whose waits come to one status after another, and then to nothing.
type waited struct {
	libcontainerdtypes.Process
	embedded
	statuses chan *containerd.ExitStatus
	now      containerd.ProcessStatus
}

func waitedFor(statuses ...*containerd.ExitStatus) waited {
	w := waited{statuses: make(chan *containerd.ExitStatus, len(statuses)), now: containerd.Running}
	for _, status := range statuses {
		w.statuses <- status
	}
	return w
}

func (waited) Pid() uint32 { return 7 }
func (waited) ID() string  { return "e" }
func (w waited) Wait(context.Context) (<-chan containerd.ExitStatus, error) {
	exited := make(chan containerd.ExitStatus, 1)
	select {
	case status := <-w.statuses:
		exited <- *status
	default: // it runs on
	}
	return exited, nil
}

func (w waited) Status(ctx context.Context) (containerd.Status, error) {
	return containerd.Status{Status: w.now}, ctx.Err()
}

func (w waited) Delete(context.Context) (*containerd.ExitStatus, error) {
	return containerd.NewExitStatus(5, time.Now(), nil), nil
}

// processOfClient puts a process of a client without a daemon into its core.
func processOfClient(t *testing.T, moby waited) (*Client, uint64) {
	t.Helper()
	cl := lonely(t)
	cl.census = newCensus()
	return cl, cl.core.handles.Put(newProcess(&Container{client: cl, id: "a"}, moby))
}

// containerd's Wait answers 255 and an error then, and the shim has the exit code yet.
func TestADaemonThatGoesAwayEndsNoWait(t *testing.T) {
	away := containerd.NewExitStatus(containerd.UnknownExitStatus, time.Time{}, cerrdefs.ErrUnavailable)
	cl, h := processOfClient(t, waitedFor(away, away, containerd.NewExitStatus(5, time.Now(), nil)))
	if result, err := cl.core.WaitProcess(t.Context(), h); err != nil || result.Code != 5 {
		t.Fatalf("got %d, %v", result.Code, err)
	}
}

func TestAWaitThatFailsOtherwiseIsToldSo(t *testing.T) {
	cl, h := processOfClient(t, waitedFor(containerd.NewExitStatus(containerd.UnknownExitStatus, time.Time{}, cerrdefs.ErrNotFound)))
	if _, err := cl.core.WaitProcess(t.Context(), h); kind.Of(err) != kind.NotFound {
		t.Fatalf("got %v", err)
	}
}

func TestAWaitWithoutTimeFindsWhatHasEnded(t *testing.T) {
	past, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for range 20 {
		moby := waitedFor(containerd.NewExitStatus(5, time.Now(), nil))
		moby.now = containerd.Stopped
		cl, h := processOfClient(t, moby)
		if result, err := cl.core.WaitProcess(past, h); err != nil || result.Code != 5 {
			t.Fatalf("got %d, %v", result.Code, err)
		}
	}
	cl, h := processOfClient(t, waitedFor())
	if _, err := cl.core.WaitProcess(past, h); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("of one that runs: %v", err)
	}
}

// Its event may be lost in a gap.
func TestTheCensusLearnsFromWaitAndDeleteHowAProcessEnded(t *testing.T) {
	for name, learn := range map[string]func(*Core, uint64) error{
		"wait":   func(c *Core, h uint64) error { _, err := c.WaitProcess(t.Context(), h); return err },
		"delete": func(c *Core, h uint64) error { _, err := c.DeleteProcess(t.Context(), h); return err },
	} {
		cl, h := processOfClient(t, waitedFor(containerd.NewExitStatus(5, time.Now(), nil)))
		key := processKey{"a", "e", 7}
		cl.census.begin(processName{"a", "e"})(7)
		if err := learn(cl.core, h); err != nil {
			t.Fatal(err)
		}
		if status := cl.census.all()[key]; status == nil || status.ExitCode() != 5 {
			t.Errorf("%s: it knows %v", name, status)
		}
	}
}
