package core

import (
	"fmt"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// streamDescriptors is how many descriptors opening a process's streams takes: two for each of three FIFOs, one to end a
// blocked open, and those of the ready callbacks of three streams. A process whose FIFO can't be opened hangs in its start
// until containerd gives it up after half a minute.
const streamDescriptors = 20

// pollerDescriptors is how many descriptors Go's poller takes, plus some that others may take meanwhile.
const pollerDescriptors = 6

// StartPoller makes Go's runtime create its poller now. Otherwise it would do so on first use, and end the process if no
// descriptor were left then.
func StartPoller() error {
	if err := available(pollerDescriptors, "Go's runtime"); err != nil {
		return err
	}
	time.AfterFunc(time.Hour, func() {}).Stop()
	return nil
}

// A spare is a descriptor held in reserve while a process's streams are opened. To close a FIFO whose open still blocks,
// containerd's fifo package opens the other side. Without a free descriptor it retries that forever without a pause, whatever
// its context says. So release the spare before having it close a FIFO.
type spare struct {
	fd   int
	once sync.Once
}

// newSpare refuses an operation that would run out of descriptors halfway.
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

// available checks that count more descriptors can be opened, by opening them.
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
