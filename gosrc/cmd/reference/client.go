package main

import (
	"context"
	"time"

	// Stats decodes only what is registered.
	_ "github.com/containerd/cgroups/v3/cgroup1/stats"
	_ "github.com/containerd/cgroups/v3/cgroup2/stats"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/dialer"
	"github.com/docker/docker/libcontainerd"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// connection is a libcontainerd client and what it stands on.
type connection struct {
	daemon *containerd.Client
	moby   libcontainerdtypes.Client
	cancel context.CancelFunc
}

// connect makes a client with dockerd's own options (moby's daemon.NewDaemon).
func connect(ctx context.Context, p place, backend libcontainerdtypes.Backend) (*connection, error) {
	const timeout = 60 * time.Second
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = timeout
	daemon, err := containerd.New(p.Address,
		containerd.WithDefaultNamespace(p.Namespace),
		containerd.WithDialOpts([]grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: timeout}),
			grpc.WithContextDialer(dialer.ContextDialer),
			grpc.WithUnaryInterceptor(grpcerrors.UnaryClientInterceptor),
			grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor),
		}),
		containerd.WithTimeout(timeout))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	moby, err := libcontainerd.NewClient(ctx, daemon, p.state(), p.Namespace, backend)
	if err != nil {
		cancel()
		return nil, err
	}
	return &connection{daemon, moby, cancel}, nil
}

func (c *connection) close() {
	c.cancel()
	_ = c.daemon.Close()
}
