package core

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func TestAClientConnectsAgainToTheSameUserAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user's daemon needs root")
	}
	place, err := os.MkdirTemp("", "dial")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(place) })
	if err := os.Chmod(place, 0o777); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(place, "s")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dial := sameDaemon()
	for range 2 { // a daemon that was started again
		serveOnce(ctx, t, dial, socket)
	}
	stranger, err := listenAs(65534, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if conn, err := dial(ctx, socket); !cerrdefs.IsPermissionDenied(err) {
		t.Fatal(conn, err)
	}
	conn, err := sameDaemon()(ctx, socket) // a client that is connected to that user from the start
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// A user who takes the place of a daemon's socket can lead there to another daemon of root's.
func TestAClientConnectsAgainToASocketOfTheSameNameAlone(t *testing.T) {
	place := t.TempDir()
	socket, other := filepath.Join(place, "s"), filepath.Join(place, "other")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dial := sameDaemon()
	serveOnce(ctx, t, dial, socket)
	listener, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Symlink(other, socket); err != nil {
		t.Fatal(err)
	}
	if conn, err := dial(ctx, socket); !cerrdefs.IsPermissionDenied(err) {
		t.Fatal(conn, err)
	}
	conn, err := sameDaemon()(ctx, socket) // a client that has come by the link from the start
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// serveOnce has a daemon serve one connection and end.
func serveOnce(ctx context.Context, t *testing.T, dial func(context.Context, string) (net.Conn, error), socket string) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Close(), listener.Close()
}

// listenAs listens as another user, whom the kernel remembers as the one at this end.
func listenAs(uid int, socket string) (net.Listener, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const same = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); errno != 0 { // of this thread alone
		return nil, errno
	}
	defer func() { _, _, _ = unix.RawSyscall(unix.SYS_SETRESUID, same, 0, same) }()
	return net.Listen("unix", socket)
}
