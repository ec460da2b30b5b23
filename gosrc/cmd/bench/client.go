package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	// Stats decodes only what is registered.
	_ "github.com/containerd/cgroups/v3/cgroup1/stats"
	_ "github.com/containerd/cgroups/v3/cgroup2/stats"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/dialer"
	"github.com/docker/docker/libcontainerd"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

const shim = "io.containerd.runc.v2"

// bench is a libcontainerd client and what the workloads need of it.
type bench struct {
	setup
	moby    libcontainerdtypes.Client
	spec    specs.Spec
	ids     atomic.Int64
	close   func()
	sleeper libcontainerdtypes.Container // what status, stats and exec work on
	asleep  libcontainerdtypes.Task
	exits   atomic.Pointer[chan int64] // takes the age of each exit event at its handler
}

func newBench(s setup) (*bench, error) {
	b := &bench{setup: s}
	text, err := os.ReadFile(s.Spec)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &b.spec); err != nil {
		return nil, err
	}
	b.moby, b.close, err = connect(s.Address, s.Namespace, filepath.Join(s.State, s.Namespace), b)
	return b, err
}

// connect makes a client with dockerd's own options (moby's daemon.NewDaemon).
func connect(address, namespace, state string, backend libcontainerdtypes.Backend) (libcontainerdtypes.Client, func(), error) {
	const timeout = 60 * time.Second
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = timeout
	daemon, err := containerd.New(address,
		containerd.WithDefaultNamespace(namespace),
		containerd.WithDialOpts([]grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: timeout}),
			grpc.WithContextDialer(dialer.ContextDialer),
			grpc.WithUnaryInterceptor(grpcerrors.UnaryClientInterceptor),
			grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor),
		}),
		containerd.WithTimeout(timeout))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	moby, err := libcontainerd.NewClient(ctx, daemon, state, namespace, backend)
	return moby, func() { cancel(); _ = daemon.Close() }, err
}

// ProcessEvent is libcontainerd's Backend.
func (b *bench) ProcessEvent(_ string, event libcontainerdtypes.EventType, info libcontainerdtypes.EventInfo) error {
	if exits := b.exits.Load(); exits != nil && event == libcontainerdtypes.EventExit {
		*exits <- time.Since(info.ExitedAt).Nanoseconds()
	}
	return nil
}

// counter is a Backend that tells when it has had so many events.
type counter struct {
	left atomic.Int64
	done chan struct{}
}

func (c *counter) ProcessEvent(string, libcontainerdtypes.EventType, libcontainerdtypes.EventInfo) error {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
	return nil
}
