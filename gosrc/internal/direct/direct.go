// Package direct is libcontainerd as dockerd uses it, without pyctd: the baseline that pyctd is compared and measured with.
package direct

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

// Connection is a libcontainerd client and the containerd client below it.
type Connection struct {
	Daemon *containerd.Client
	Moby   libcontainerdtypes.Client
	cancel context.CancelFunc
}

// Connect makes a client with dockerd's own options (moby's daemon.NewDaemon).
func Connect(ctx context.Context, address, namespace, state string, backend libcontainerdtypes.Backend) (*Connection, error) {
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
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	moby, err := libcontainerd.NewClient(ctx, daemon, state, namespace, backend)
	if err != nil {
		cancel()
		_ = daemon.Close()
		return nil, err
	}
	return &Connection{daemon, moby, cancel}, nil
}

// Close ends the connection and its events.
func (c *Connection) Close() {
	c.cancel()
	_ = c.Daemon.Close()
}
