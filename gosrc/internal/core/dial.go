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

// sameUser is containerd's dialer for one client. It connects again only to a daemon of the user whose daemon it connected to
// first: when a daemon has died, its socket's place may have become another user's.
func sameUser() func(context.Context, string) (net.Conn, error) {
	var first atomic.Pointer[uint32]
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dialer.ContextDialer(ctx, address)
		if err != nil {
			return nil, err
		}
		uid, err := peerUser(conn)
		if err == nil && !first.CompareAndSwap(nil, &uid) && *first.Load() != uid {
			err = cerrdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("the socket %q is the user %d's now, and was the user %d's", address, uid, *first.Load()))
		}
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// peerUser is the user who listens at the other end of a Unix socket.
func peerUser(conn net.Conn) (uint32, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("%T is no Unix socket", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	if failed := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); failed != nil {
		return 0, failed
	}
	if err != nil {
		return 0, err
	}
	return peer.Uid, nil
}
