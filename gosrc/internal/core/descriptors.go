package core

import (
	"fmt"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// streamDescriptors is how many a process's streams take while they are opened: two for each of three FIFOs, one to end
// an open that waits, and what the ready callbacks take for three streams. One whose FIFO can't be opened hangs in its
// start, until containerd gives it up after half a minute.
const streamDescriptors = 20

// pollerDescriptors is how many Go's poller takes, and some that others may take meanwhile.
const pollerDescriptors = 6

// StartPoller has Go's runtime make its poller now: it would make it when it first needs one, and end the process if no
// descriptor is left then.
func StartPoller() error {
	if err := available(pollerDescriptors, "Go's runtime"); err != nil {
		return err
	}
	time.AfterFunc(time.Hour, func() {}).Stop()
	return nil
}

// A spare is a descriptor that is held free while a process's streams are opened. To close a FIFO whose open still waits,
// containerd's fifo package opens its other side, and tries that without a pause or an end, whatever its context says,
// while no descriptor is left: whoever has it close one releases the spare first.
type spare struct {
	fd   int
	once sync.Once
}

// newSpare refuses what would run out of descriptors half way.
func newSpare() (*spare, error) {
	if err := available(streamDescriptors, "the streams of a process"); err != nil {
		return nil, err
	}
	fd, err := openNull()
	return &spare{fd: fd}, err
}

func (s *spare) release() {
	s.once.Do(func() { _ = unix.Close(s.fd) })
}

// available tells whether so many descriptors can be opened still, by opening them.
func available(count int, what string) error {
	for i := range count {
		fd, err := openNull()
		if err != nil {
			return cerrdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("%d descriptors are left, and %s may take %d (%v): "+
				"close some, or raise the limit of open files", i, what, count, err))
		}
		defer func() { _ = unix.Close(fd) }()
	}
	return nil
}

func openNull() (int, error) { return unix.Open("/dev/null", unix.O_PATH|unix.O_CLOEXEC, 0) }
