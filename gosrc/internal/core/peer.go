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

// A peer is a process of this machine, seen through its directory in /proc. An open directory stays tied to its process: once
// that has ended, reads and signals fail, even if another process has its number by then.
type peer struct {
	pid int
	dir int
}

// peers yields all processes, each valid for one iteration.
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

// trusted reports whether a process is as privileged as this one: the same user in every respect, and in this process's
// namespaces. Other users' processes are not, nor are those in containers. An untrusted process can't make a trusted one
// execute something else, so what is read from it afterwards holds.
func (p peer) trusted() bool { return p.privileged("ns/user", "ns/pid", "ns/mnt") }

// privileged is trusted for the given namespaces.
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

// program is the path of its executable, even if a newer version has replaced that since.
func (p peer) program() string { return strings.TrimSuffix(p.link("exe"), " (deleted)") }

// argument returns the value of a flag on its command line. Read this only from a trusted process.
func (p peer) argument(name string) string {
	args := strings.Split(string(p.read("cmdline")), "\x00")
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// signal needs Linux 5.1; without it there is no safe way to signal this process and no other.
func (p peer) signal(number unix.Signal) error { return unix.PidfdSendSignal(p.dir, number, nil, 0) }

// gone waits until a process has ended and its parent has reaped it.
func (p peer) gone(timeout time.Duration) bool {
	return soon(timeout, func() bool { return p.read("stat") == nil })
}

// ended waits until a process has ended or is about to, reaped or not. Its command line would be empty too. But that is the
// process's own memory: another user's process can make it any size, or map it from a file whose server never answers.
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

// awaitEnd waits until a process has ended and its parent has reaped it. It needs Linux 5.3.
func (p peer) awaitEnd() error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == nil {
		defer unix.Close(fd)
		// If this process still exists, its number is still its own, so the descriptor is for the right process.
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

// parent is the number of the process that started or adopted it.
func (p peer) parent() int {
	stat := p.stat()
	if len(stat) < 2 {
		return 0
	}
	number, _ := strconv.Atoi(stat[1])
	return number
}

// stat is the kernel's record of a process, from its state on; empty once it is reaped.
func (p peer) stat() []string {
	stat := string(p.read("stat"))
	return strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name before may contain anything
}
