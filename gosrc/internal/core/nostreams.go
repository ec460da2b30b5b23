package core

import (
	"syscall"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"
)

// none leaves a process without streams. Returning a nil IO would do for containerd, but nobody would then close the
// DirectIO, and its FIFOs and the goroutines that open them would stay.
func none(dio *cio.DirectIO) (cio.IO, error) {
	finishOpening(dio)
	dio.Cancel()
	null, _ := cio.NullIO("")
	return null, dio.Close()
}

// finishOpening lets containerd's fifo package come to the end of opening a DirectIO's FIFOs, which nobody else will
// open. To close one whose open still waits it tries to open the other side, without a pause, until the goroutine that
// waits has come to run: that took more of the processor than all the rest of an exec.
func finishOpening(dio *cio.DirectIO) {
	config := dio.Config()
	for i, path := range []string{config.Stdin, config.Stdout, config.Stderr} {
		pipe, err := pipeOf(dio, allStreams[i])
		if err != nil {
			continue
		}
		bothSides, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return // closing does it
		}
		defer func() { _ = unix.Close(bothSides) }()
		if conn, err := pipe.(syscall.Conn).SyscallConn(); err == nil {
			_ = conn.Control(func(uintptr) {})
		}
	}
}
