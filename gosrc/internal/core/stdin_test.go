package core

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/docker/docker/libcontainerd"
	"github.com/docker/docker/libcontainerd/remote"
	"google.golang.org/protobuf/types/known/anypb"
)

// oneContainer is a containerd that has one container and no events.
type oneContainer struct {
	containers.Store
	containerd.EventService
	bundle string
}

func (o oneContainer) Get(context.Context, string) (containers.Container, error) {
	return containers.Container{
		ID:     "x",
		Labels: map[string]string{remote.DockerContainerBundlePath: o.bundle},
		Spec:   &anypb.Any{Value: []byte(`{"process":{},"linux":{}}`)},
	}, nil
}

func (oneContainer) Subscribe(context.Context, ...string) (<-chan *events.Envelope, <-chan error) {
	return nil, nil
}

// withLibcontainerdsStreams has libcontainerd make the streams of a task, with stdin. The task is not made.
func withLibcontainerdsStreams(t *testing.T, use func(dio *cio.DirectIO, directory string)) {
	t.Helper()
	fake := oneContainer{bundle: t.TempDir()}
	daemon, err := containerd.New("", containerd.WithServices(containerd.WithContainerStore(fake), containerd.WithEventService(fake)))
	if err != nil {
		t.Fatal(err)
	}
	moby, err := libcontainerd.NewClient(t.Context(), daemon, "", "moby", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctr, err := moby.LoadContainer(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	_, err = ctr.NewTask(t.Context(), "", true, func(dio *cio.DirectIO) (cio.IO, error) {
		defer func() { _ = dio.Close() }()
		use(dio, fake.bundle)
		return nil, enough
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
}

func TestTheFIFOBehindLibcontainerdsStdinIsFound(t *testing.T) {
	withLibcontainerdsStreams(t, func(dio *cio.DirectIO, directory string) {
		reader, err := os.OpenFile(filepath.Join(directory, "x-stdin"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reader.Close() }()
		pipe, err := pipeOf(dio, Stdin)
		if err != nil || pipe == any(dio.Stdin) {
			t.Fatalf("got libcontainerd's wrapper itself, %T: %v", pipe, err)
		}
		conn, err := pipe.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Control(func(fd uintptr) { _, err = syscall.Write(int(fd), []byte("hello")) }); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, failed := reader.Read(got); err != nil || failed != nil || !bytes.Equal(got, []byte("hello")) {
			t.Fatalf("wrote (%v), and the FIFO has %q (%v)", err, got, failed)
		}
	})
}
