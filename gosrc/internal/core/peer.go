package core

import (
	"bytes"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A peer is a process of this machine, seen through its directory in /proc. The directory stays its own: once the process
// has ended, reads of it fail, and so do signals, although another process may have its number by then.
type peer struct {
	pid int
	dir int
}

// peers yields all processes, each for the time of one turn.
func peers() iter.Seq[peer] {
	return func(yield func(peer) bool) {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return
		}
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if err != nil {
				continue
			}
			p, err := openPeer(pid)
			if err != nil {
				continue // it has ended
			}
			more := yield(p)
			p.close()
			if !more {
				return
			}
		}
	}
}

func openPeer(pid int) (peer, error) {
	dir, err := unix.Open(filepath.Join("/proc", strconv.Itoa(pid)), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return peer{pid, dir}, err
}

func (p peer) close() { _ = unix.Close(p.dir) }

func (p peer) read(name string) []byte {
	fd, err := unix.Openat(p.dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(file); err != nil {
		return nil
	}
	return text.Bytes()
}

func (p peer) link(name string) string { return readLink(p.dir, name) }

func readLink(dir int, name string) string {
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, text)
	if err != nil {
		return ""
	}
	return string(text[:n])
}

// trusted says whether a process is as privileged as this one: the same user in every respect, and in this process's own
// namespaces. Other users' processes are not, nor are those in containers. A process that is can't be made to execute
// something else by one that is not, so that what is read of it afterwards holds.
func (p peer) trusted() bool { return p.privileged("ns/user", "ns/pid", "ns/mnt") }

// privileged is trusted with a choice of namespaces.
func (p peer) privileged(spaces ...string) bool {
	uid := strconv.Itoa(os.Geteuid())
	for line := range strings.Lines(string(p.read("status"))) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if fields := strings.Fields(ids); len(fields) != 4 || slices.ContainsFunc(fields, func(id string) bool { return id != uid }) {
				return false
			}
			for _, space := range spaces {
				if own := readLink(unix.AT_FDCWD, "/proc/thread-self/"+space); own == "" || p.link(space) != own {
					return false
				}
			}
			return true
		}
	}
	return false
}

// program is the path of what it executes, even if a newer version has taken that place since.
func (p peer) program() string { return strings.TrimSuffix(p.link("exe"), " (deleted)") }

// argument gives the value of a flag on its command line, which is only to be read of a process that is trusted.
func (p peer) argument(name string) string {
	args := strings.Split(string(p.read("cmdline")), "\x00")
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// signal needs Linux 5.1; without that there is no way that surely reaches this process and no other.
func (p peer) signal(number unix.Signal) error { return unix.PidfdSendSignal(p.dir, number, nil, 0) }

// gone waits until a process has ended and its parent has waited for it.
func (p peer) gone(timeout time.Duration) bool {
	return soon(timeout, func() bool { return p.read("stat") == nil })
}

// ended waits until a process has ended, or is about to, be it that its parent has yet to wait for it. Its command line is
// empty then, too; but that is its own memory, of which another user's process can make any amount, or a file whose server
// never answers.
func (p peer) ended(timeout time.Duration) bool {
	const exiting = 0x4 // PF_EXITING
	return soon(timeout, func() bool {
		stat := p.stat()
		if len(stat) < 7 {
			return true
		}
		flags, _ := strconv.ParseUint(stat[6], 10, 64)
		return flags&exiting != 0
	})
}

func soon(timeout time.Duration, happens func() bool) bool {
	for end := time.Now().Add(timeout); !happens(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// awaitEnd waits until a process has ended and its parent has waited for it. It needs Linux 5.3.
func (p peer) awaitEnd() error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == nil {
		defer unix.Close(fd)
		// The descriptor is this process's if that has not ended by now, since its number is still its own then.
		for p.read("stat") != nil {
			if _, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	p.gone(time.Second)
	return nil
}

// parent is the number of the process that has started it, or adopted it.
func (p peer) parent() int {
	stat := p.stat()
	if len(stat) < 2 {
		return 0
	}
	number, _ := strconv.Atoi(stat[1])
	return number
}

// stat is what the kernel says of a process, from its state on; nothing once its parent has waited for its end.
func (p peer) stat() []string {
	stat := string(p.read("stat"))
	return strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name before may have anything in it
}
