package core

import (
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"
)

// none leaves a process without streams: the shim gives it /dev/null. It returns a null IO, as containerd's client dereferences
// the IO. It closes the DirectIO, which has no owner from here on: its FIFOs and the goroutines that open them would stay.
func none(dio *cio.DirectIO, closes func(*cio.DirectIO) error) (cio.IO, error) {
	finishOpening(dio, allStreams)
	dio.Cancel()
	null, _ := cio.NullIO("")
	return null, closes(dio)
}

// openTimeout is ample for the goroutine that opens a FIFO to get to run.
const openTimeout = 10 * time.Second

// finishOpening lets containerd's fifo package finish opening a DirectIO's FIFOs when the process no longer uses them, or never
// opens them. The package opens each FIFO on a goroutine. It closes one that is not open yet by opening the other side, in a
// busy loop until that goroutine has run: that took more CPU time than the rest of an exec.
func finishOpening(dio *cio.DirectIO, streams []Stream) {
	config := dio.Config()
	paths := []string{config.Stdin, config.Stdout, config.Stderr}
	for _, stream := range streams {
		if pipe, err := pipeOf(dio, stream); err == nil {
			finishOpeningOf(pipe, paths[stream])
		}
	}
}

func finishOpeningOf(pipe any, path string) {
	bothSides, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return // leave it to closing
	}
	defer func() { _ = unix.Close(bothSides) }()
	if conn, err := pipe.(syscall.Conn).SyscallConn(); err == nil {
		opened := make(chan struct{})
		spawn(func() {
			defer close(opened)
			_ = conn.Control(func(uintptr) {}) // returns when it is open, or closed
		})
		select {
		case <-opened:
		case <-time.After(openTimeout): // another FIFO is at the path now: leave it to closing
		}
	}
}
