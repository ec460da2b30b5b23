package core

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"sync"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	contentproxy "github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/events/proxy"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/libcontainerd"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/locker"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// A Client is a libcontainerd client with the containerd client below it.
type Client struct {
	core      *Core
	cookie    uint64
	stateDir  string
	namespace string
	runc      string // the path of its engine's runc; empty without an engine of this process
	daemon    *containerd.Client
	moby      libcontainerdtypes.Client
	ctx       context.Context
	cancel    context.CancelFunc

	mu      sync.Mutex
	streams map[*stdio]struct{} // attached and not yet closed
	closed  bool
	left    *leftovers
	census  census
	order   *locker.Locker         // of a container's events, live or found after a gap
	used    sync.WaitGroup         // by work during which the daemon's connection must stay open
	deaf    atomic.Bool            // nobody wants its events
	version atomic.Pointer[string] // the daemon's, once an exec has asked for it
}

// connect dials a daemon as dockerd does.
func connect(ctx context.Context, address string, opts ...containerd.Opt) (*containerd.Client, error) {
	// containerd's client connects lazily, and its calls wait for a daemon that may never come: try the socket first.
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		return nil, cerrdefs.ErrUnavailable.WithMessage(err.Error())
	}
	_ = conn.Close()
	const timeout = 60 * time.Second
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = timeout
	opts = append(opts,
		containerd.WithDialOpts([]grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: timeout}),
			grpc.WithContextDialer(sameDaemon()),
			grpc.WithChainUnaryInterceptor(grpcerrors.UnaryClientInterceptor, deleteAtOnce, noteBundle),
			grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor),
		}),
		containerd.WithTimeout(timeout),
	)
	return containerd.New(address, opts...)
}

// NewClient connects to the daemon at address and returns once its events flow.
func (c *Core) NewClient(ctx context.Context, address, namespace, stateDir string, cookie uint64) (Result, error) {
	if err := identifiers.Validate(namespace); err != nil {
		return Result{}, err
	}
	if err := checkDirectory("state", stateDir); err != nil {
		return Result{}, err
	}
	if err := checkStateDir(stateDir); err != nil {
		return Result{}, err
	}
	events, contents := newReadyEvents(), &blobs{}
	daemon, err := connect(ctx, address, containerd.WithDefaultNamespace(namespace),
		containerd.WithServices(containerd.WithEventService(events), containerd.WithContentStore(contents)))
	if err != nil {
		return Result{}, err
	}
	events.EventService = proxy.NewRemoteEvents(daemon.Conn())
	contents.Store = contentproxy.NewContentStore(daemon.Conn())
	cl := &Client{core: c, cookie: cookie, stateDir: stateDir, namespace: namespace, daemon: daemon, left: &events.left,
		streams: map[*stdio]struct{}{}, census: newCensus(), order: locker.New()}
	if runc, ok := c.runcs.Load(address); ok {
		cl.runc = runc.(string)
	}
	cl.ctx, cl.cancel = context.WithCancel(c.ctx)
	events.gap = cl.tellGap
	cl.moby, err = libcontainerd.NewClient(cl.ctx, daemon, stateDir, namespace, cl)
	if err == nil {
		err = events.wait(ctx)
	}
	if err != nil {
		cl.close()
		return Result{}, err
	}
	cl.list(ctx, time.Time{})
	return Result{Value: c.handles.Put(cl)}, nil
}

// close ends the client but not what runs: it closes our descriptors of the streams and keeps their FIFOs.
func (cl *Client) close() {
	cl.mu.Lock()
	if cl.closed {
		cl.mu.Unlock()
		return
	}
	cl.closed = true
	var streams []*stdio
	for s := range cl.streams {
		if s.process != nil { // otherwise once it is made: until then its shim waits for their other side
			streams = append(streams, s)
		}
	}
	cl.streams = nil
	cl.mu.Unlock()
	cl.cancel()
	for _, s := range streams {
		s.detach()
	}
	spawn(func() {
		cl.used.Wait()
		_ = cl.daemon.Close()
	})
}

// use runs work that continues after its caller is gone, or the client is closed. It reports whether the client was open.
func (cl *Client) use(work func()) bool {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.closed {
		return false
	}
	cl.used.Add(1)
	running := cl.core.run(func() {
		defer cl.used.Done()
		work()
	})
	if !running {
		cl.used.Done()
	}
	return running
}

// client finds an open client.
func (c *Core) client(h uint64) (*Client, error) { return handle.Get[*Client](&c.handles, h) }

func (cl *Client) check() error {
	if cl.ctx.Err() != nil {
		return kind.ErrClosed
	}
	return nil
}

// ProcessEvent is libcontainerd's Backend.
func (cl *Client) ProcessEvent(id string, event libcontainerdtypes.EventType, info libcontainerdtypes.EventInfo) error {
	return cl.tell(Event{
		Type: string(event), Pid: info.Pid, ExitCode: info.ExitCode, ExitedAt: info.ExitedAt,
		ContainerID: id, ProcessID: info.ProcessID, Error: info.Error,
	})
}

// tell hands an event over and returns when it is handled.
func (cl *Client) tell(event Event) error {
	cl.order.Lock(event.ContainerID)
	defer func() { _ = cl.order.Unlock(event.ContainerID) }()
	if event.Origin != Recovered {
		event.Origin = cl.census.see(event)
		if libcontainerdtypes.EventType(event.Type) == libcontainerdtypes.EventOOM {
			cl.noteOOM(event.ContainerID)
		}
	} else if !cl.census.claim(&event) {
		return nil
	}
	if cl.deaf.Load() {
		return nil
	}
	event.Cookie = cl.cookie
	return cl.core.deliveries.deliver(event, cl.ctx.Done())
}

// Listen sets whether the client's events are carried to the other side.
func (c *Core) Listen(h uint64, listen bool) error {
	cl, err := c.client(h)
	if err == nil {
		cl.deaf.Store(!listen)
	}
	return err
}

// ClientVersion is Client.Version.
func (c *Core) ClientVersion(ctx context.Context, h uint64) (Result, error) {
	cl, err := c.client(h)
	if err != nil {
		return Result{}, err
	}
	version, err := cl.moby.Version(ctx)
	if err != nil {
		return Result{}, err
	}
	return asJSON(map[string]string{"version": version.Version, "revision": version.Revision})
}

// LoadContainer is Client.LoadContainer.
func (c *Core) LoadContainer(ctx context.Context, h uint64, id string) (Result, error) {
	cl, err := c.client(h)
	if err != nil {
		return Result{}, err
	}
	of := bundleOf{id: id}
	ctr, err := cl.moby.LoadContainer(withBundle(ctx, &of), id)
	if err != nil {
		return Result{}, err
	}
	return Result{Value: c.handles.Put(&Container{client: cl, id: id, moby: ctr, bundle: of.path})}, nil
}

func asJSON(v any) (Result, error) {
	data, err := json.Marshal(v)
	return Result{Data: data}, err
}

func invalid(err error) error { return cerrdefs.ErrInvalidArgument.WithMessage(err.Error()) }
