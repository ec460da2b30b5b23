package core

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/containerd/containerd/v2/pkg/dialer"
	cerrdefs "github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// A listener identifies the listening end of a Unix socket: its user, and the name that it bound the socket to. Both come from
// the kernel.
type listener struct {
	uid  uint32
	name string
}

// sameDaemon is containerd's dialer for one client. It reconnects only to a daemon with the same user and name as the first
// one. After a daemon has died, another user may own its socket's directory, and can listen there or put a link to another
// daemon there.
func sameDaemon() func(context.Context, string) (net.Conn, error) {
	var first atomic.Pointer[listener]
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dialer.ContextDialer(ctx, address)
		if err != nil {
			return nil, err
		}
		now, err := listenerOf(conn)
		if err == nil && !first.CompareAndSwap(nil, &now) && *first.Load() != now {
			before := *first.Load()
			err = cerrdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("the socket %q is user %d's %q now, and was user %d's %q: make a new client if you trust it",
				address, now.uid, now.name, before.uid, before.name))
		}
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

func listenerOf(conn net.Conn) (listener, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return listener{}, fmt.Errorf("%T is no Unix socket", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return listener{}, err
	}
	var peer *unix.Ucred
	if failed := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); failed != nil {
		return listener{}, failed
	}
	if err != nil {
		return listener{}, err
	}
	return listener{peer.Uid, conn.RemoteAddr().String()}, nil
}
