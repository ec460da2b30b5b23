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
	dial := sameUser()
	for range 2 { // a daemon that was started again
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
	stranger, err := listenAs(65534, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if conn, err := dial(ctx, socket); !cerrdefs.IsPermissionDenied(err) {
		t.Fatal(conn, err)
	}
	conn, err := sameUser()(ctx, socket) // a client that is connected to that user from the start
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
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
