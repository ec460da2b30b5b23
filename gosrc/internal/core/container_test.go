package core

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/libcontainerd"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// answers is a container of libcontainerd's whose Delete answers with one error after another: a real containerd loses no
// answer when it is asked to.
type answers struct {
	libcontainerdtypes.Container
	errs []error
}

func (a *answers) Delete(context.Context) error {
	err := a.errs[0]
	a.errs = a.errs[1:]
	return err
}

func TestTheBundleGoesWithADeleteWhoseAnswerWasLost(t *testing.T) {
	for _, lost := range []error{cerrdefs.ErrUnavailable, context.DeadlineExceeded, context.Canceled} {
		bundle := filepath.Join(t.TempDir(), "a")
		if err := os.Mkdir(bundle, 0o700); err != nil {
			t.Fatal(err)
		}
		moby := &answers{errs: []error{cerrdefs.ErrNotFound, lost, cerrdefs.ErrNotFound}}
		ctr := &Container{id: "a", moby: moby, bundle: bundle}
		for try, there := range []bool{true, true, false} {
			if err := ctr.delete(t.Context()); err == nil {
				t.Fatal("no error")
			}
			if _, err := os.Stat(bundle); (err == nil) != there {
				t.Fatalf("%v: after try %d: %v", lost, try, err)
			}
		}
	}
}

// failingStarts is a containerd that makes tasks, and that refuses to start them when it is let.
type failingStarts struct {
	tasks.TasksClient
	begun, let, killed chan struct{}
	deleted            chan error // what a Delete's context said
}

func (failingStarts) Create(context.Context, *tasks.CreateTaskRequest, ...grpc.CallOption) (*tasks.CreateTaskResponse, error) {
	return &tasks.CreateTaskResponse{ContainerID: "x", Pid: 2}, nil
}

func (f failingStarts) Start(context.Context, *tasks.StartRequest, ...grpc.CallOption) (*tasks.StartResponse, error) {
	close(f.begun)
	<-f.let
	return nil, status.Error(codes.Unknown, "no such command")
}

func (f failingStarts) Get(context.Context, *tasks.GetRequest, ...grpc.CallOption) (*tasks.GetResponse, error) {
	return &tasks.GetResponse{Process: &task.Process{ID: "x", Pid: 2, Status: task.Status_STOPPED}}, nil
}

func (f failingStarts) Kill(ctx context.Context, _ *tasks.KillRequest, _ ...grpc.CallOption) (*emptypb.Empty, error) {
	if ctx.Err() == nil {
		close(f.killed)
	}
	return &emptypb.Empty{}, ctx.Err()
}

func (f failingStarts) Wait(ctx context.Context, _ *tasks.WaitRequest, _ ...grpc.CallOption) (*tasks.WaitResponse, error) {
	_, err := receive(ctx, f.killed)
	return &tasks.WaitResponse{ExitStatus: 137}, err
}

func (f failingStarts) Delete(ctx context.Context, _ *tasks.DeleteTaskRequest, _ ...grpc.CallOption) (*tasks.DeleteResponse, error) {
	f.deleted <- ctx.Err()
	return &tasks.DeleteResponse{}, ctx.Err()
}

func TestTheTaskOfAStartThatFailsAfterItsCallerHasGoneIsDeleted(t *testing.T) {
	service := failingStarts{begun: make(chan struct{}), let: make(chan struct{}), killed: make(chan struct{}), deleted: make(chan error, 8)}
	fake := oneContainer{bundle: filepath.Join(t.TempDir(), "x")}
	if err := os.Mkdir(fake.bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	daemon, err := containerd.New("", containerd.WithServices(containerd.WithContainerStore(fake), containerd.WithEventService(fake),
		containerd.WithTaskClient(service)))
	if err != nil {
		t.Fatal(err)
	}
	cl := lonely(t)
	cl.daemon, cl.census = daemon, newCensus()
	if cl.moby, err = libcontainerd.NewClient(cl.ctx, daemon, "", "moby", nil); err != nil {
		t.Fatal(err)
	}
	moby, err := cl.moby.LoadContainer(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	container := cl.core.handles.Put(&Container{client: cl, id: "x", moby: moby, bundle: fake.bundle})
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() {
		_, err := cl.core.NewTask(ctx, container, "", false, 0, true)
		returned <- err
	}()
	select {
	case <-service.begun:
	case err := <-returned:
		t.Fatalf("the start did not begin: %v", err)
	}
	cancel()
	if err := within(t, returned); !errors.Is(err, context.Canceled) {
		t.Fatalf("the caller got %v", err)
	}
	close(service.let)
	if err := cl.undone(t.Context(), processName{"x", "x"}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-service.deleted:
		if err != nil {
			t.Fatalf("deleted under a context that has ended: %v", err)
		}
	default:
		t.Fatal("it was not deleted")
	}
}
