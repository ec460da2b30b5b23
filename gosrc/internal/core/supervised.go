package core

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/libcontainerd/supervisor"
	"golang.org/x/sys/unix"
)

// What moby's supervisor leaves open: where it takes containerd from, and whose process it then has.

// newLauncher makes what the supervisor is to execute: a script that executes containerd with a PATH of its own, in the root
// directory. The supervisor takes both from this process. But Go's environment can't be changed without C's, which other
// threads may be reading; and containerd prefers a shim that it finds in its working directory, where this process may
// be in one that everybody can write to. The umask is the one that dockerd has: with none containerd lets everybody write
// to the specs in its bundles, hooks included. The script is in memory, since no directory is sure to let a file be executed.
func newLauncher(program, path string) (*os.File, error) {
	const executable = 0x10 // MFD_EXEC, of Linux 6.3
	fd, err := unix.MemfdCreate("containerd", unix.MFD_CLOEXEC|executable)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("containerd", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to make what starts containerd: %w", err)
	}
	writer := os.NewFile(uintptr(fd), "containerd")
	defer writer.Close() // what is open for writing can't be executed
	if _, err := fmt.Fprintf(writer, "#!/bin/sh\ncd / && umask 022 && export PATH=%s && exec %s \"$@\"\n", quoted(path), quoted(program)); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// startedBy adds to an option of the supervisor that it executes launcher, and that made gets its Daemon before it starts
// anything: when a start fails or is given up, the supervisor tells nobody which one it was.
func startedBy[R supervisor.Daemon](launcher *os.File, made chan<- supervisor.Daemon, option func(R) error) func(R) error {
	return func(daemon R) error {
		made <- daemon
		program := (*string)(reflect.ValueOf(daemon).Elem().FieldByName("daemonPath").Addr().UnsafePointer())
		// The number is this process's: the shell opens what it is to interpret by this name, and inherits no descriptor.
		*program = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), launcher.Fd())
		return option(daemon)
	}
}

var (
	errEnded    = errors.New("containerd has ended")
	errStranger = errors.New("containerd's number is another process's")
)

func (e *Engine) pidFile() string { return filepath.Join(e.state, "containerd.pid") }

// process gives the daemon that the supervisor has started last.
func (e *Engine) process() (peer, error) {
	text, err := os.ReadFile(e.pidFile())
	if err != nil {
		return peer{}, errEnded
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return peer{}, errEnded
	}
	p, err := openPeer(pid)
	if err != nil {
		return peer{}, errEnded
	}
	switch {
	case p.ended(0):
		err = errEnded
	case !p.trusted() || !e.configures(p):
		err = errStranger
	}
	if err != nil {
		p.close()
	}
	return p, err
}

func (e *Engine) configures(p peer) bool {
	return p.argument("--config") == filepath.Join(e.state, "containerd.toml")
}

// forgetStranger removes the number of a daemon that has ended. The supervisor would take any process that has got it
// since for its daemon, and kill it because it does not serve.
func (e *Engine) forgetStranger() {
	p, err := e.process()
	if err != nil {
		_ = os.Remove(e.pidFile())
		return
	}
	p.close()
}

// endChildren ends what the supervisor has started.
func (e *Engine) endChildren(number unix.Signal) {
	for p := range peers() {
		// This process may have adopted others' processes, too, as the first of a container does.
		if p.parent() == os.Getpid() && p.trusted() && e.configures(p) {
			_ = p.signal(number)
			p.gone(time.Second)
		}
	}
}
