package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/libcontainerd"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// slowStarts is a containerd whose task runs, and whose execs start when they are let.
type slowStarts struct {
	tasks.TasksClient
	starting *atomic.Int32 // at this moment
	started  *atomic.Int32
	let      chan struct{}
}

func (slowStarts) Get(context.Context, *tasks.GetRequest, ...grpc.CallOption) (*tasks.GetResponse, error) {
	return &tasks.GetResponse{Process: &task.Process{ID: "x", Pid: 1, Status: task.Status_RUNNING}}, nil
}

func (slowStarts) Exec(context.Context, *tasks.ExecProcessRequest, ...grpc.CallOption) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (s slowStarts) Start(ctx context.Context, _ *tasks.StartRequest, _ ...grpc.CallOption) (*tasks.StartResponse, error) {
	s.starting.Add(1)
	s.started.Add(1)
	defer s.starting.Add(-1)
	select {
	case <-s.let:
		return &tasks.StartResponse{Pid: 2}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (slowStarts) DeleteProcess(context.Context, *tasks.DeleteProcessRequest, ...grpc.CallOption) (*tasks.DeleteResponse, error) {
	return &tasks.DeleteResponse{}, nil
}

// taskOf is the handle of a running task of a containerd of some version, whose execs start when they are let.
func taskOf(t *testing.T, version string) (*Core, uint64, slowStarts) {
	t.Helper()
	service := slowStarts{starting: new(atomic.Int32), started: new(atomic.Int32), let: make(chan struct{})}
	fake := oneContainer{bundle: filepath.Join(t.TempDir(), "x")}
	if err := os.Mkdir(fake.bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	daemon, err := containerd.New("", containerd.WithServices(containerd.WithContainerStore(fake), containerd.WithEventService(fake),
		containerd.WithTaskClient(service)))
	if err != nil {
		t.Fatal(err)
	}
	cl := &Client{core: New(recorder{}, 0), daemon: daemon, census: newCensus(), streams: map[*stdio]struct{}{}}
	cl.ctx, cl.cancel = context.WithCancel(t.Context())
	t.Cleanup(cl.cancel)
	cl.version.Store(&version)
	if cl.moby, err = libcontainerd.NewClient(cl.ctx, daemon, "", "moby", nil); err != nil {
		t.Fatal(err)
	}
	moby, err := cl.moby.LoadContainer(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	running, err := moby.Task(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctr := &Container{client: cl, id: "x", moby: moby, bundle: fake.bundle}
	return cl.core, cl.core.handles.Put(newProcess(ctr, running)), service
}

func TestExecsOfOneContainerQueueOnContainerd16(t *testing.T) {
	const execs = 3 * execsAtOnce
	for version, most := range map[string]int32{"1.6.20~ds1": execsAtOnce, "v1.6.38": execsAtOnce, "v2.1.4": execs, "1.7.35": execs} {
		core, task, service := taskOf(t, version)
		done := make(chan error, execs)
		for i := range execs {
			go func() {
				_, err := core.Exec(t.Context(), task, fmt.Sprintf("e%d", i), []byte(`{}`), false, 0)
				done <- err
			}()
		}
		for end := time.Now().Add(time.Minute); service.starting.Load() < most && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond) // ample for one too many
		if got := service.starting.Load(); got != most {
			t.Errorf("%s: %d start at once, not %d", version, got, most)
		}
		close(service.let)
		for range execs {
			if err := <-done; err != nil {
				t.Errorf("%s: %v", version, err)
			}
		}
	}
}

// What the client has started itself runs, though the event of its start was lost: a gap may hide its exit.
func TestTheCensusKnowsWhatTheClientHasStarted(t *testing.T) {
	core, task, service := taskOf(t, "2.1.4")
	close(service.let)
	p, _, err := core.process(task)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := core.Exec(t.Context(), task, "e", []byte(`{}`), false, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := core.StartTask(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	want := map[processKey]*containerd.ExitStatus{{"x", "e", 2}: nil, {"x", "x", 2}: nil}
	if all := p.container.client.census.all(); !maps.Equal(all, want) {
		t.Fatalf("running: %v", all)
	}
}

func TestAnExecThatWaitsForItsTurnHasADeadline(t *testing.T) {
	core, task, service := taskOf(t, "1.6.20")
	done := make(chan error, execsAtOnce)
	for i := range execsAtOnce {
		go func() {
			_, err := core.Exec(t.Context(), task, fmt.Sprintf("e%d", i), []byte(`{}`), false, 0)
			done <- err
		}()
	}
	for service.starting.Load() < execsAtOnce {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := core.Exec(ctx, task, "late", []byte(`{}`), false, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	p, _, err := core.process(task)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.container.client.undone(t.Context(), processName{"x", "late"}); err != nil {
		t.Fatal(err)
	}
	close(service.let)
	for range execsAtOnce {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if service.started.Load() != execsAtOnce {
		t.Error("the late one has started after all")
	}
}

// refusals is an exec of libcontainerd's whose Delete answers with one error after another.
type refusals struct {
	libcontainerdtypes.Process
	errs []error
}

func (r *refusals) Delete(context.Context) (*containerd.ExitStatus, error) {
	err := r.errs[0]
	r.errs = r.errs[1:]
	return nil, err
}

func TestAnEndedExecIsDeletedOnceItsTaskIsPausedNoMore(t *testing.T) {
	paused := cerrdefs.ErrFailedPrecondition
	for _, last := range []error{nil, cerrdefs.ErrNotFound} {
		moby := &refusals{errs: []error{paused, paused, last}}
		if err := (&Process{moby: moby}).deleteEnded(t.Context()); err != last || len(moby.errs) != 0 {
			t.Errorf("got %v, with %v left", err, moby.errs)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	moby := &refusals{errs: []error{paused, paused}}
	if err := (&Process{moby: moby}).deleteEnded(ended); err != paused {
		t.Errorf("after its time: %v", err)
	}
}
