package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ownDaemon is a scenario's own containerd, to be harmed.
type ownDaemon struct {
	dir    string
	cmd    *exec.Cmd
	frozen bool
}

func (d *ownDaemon) address() string { return filepath.Join(d.dir, "c.sock") }

// start starts it, anew after a kill, and returns when it serves.
func (d *ownDaemon) start() error {
	config := filepath.Join(d.dir, "containerd.toml")
	if err := os.MkdirAll(d.dir, 0o711); err != nil {
		return err
	}
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = %q\n",
		filepath.Join(d.dir, "r"), filepath.Join(d.dir, "s"), d.address())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	d.cmd = exec.Command("containerd", "--config", config, "--log-level", "error")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", d.address())
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(end) {
			return err
		}
	}
}

// signal sends it a signal; it returns from a killing one when the daemon is gone.
func (d *ownDaemon) signal(signal syscall.Signal) error {
	if d.cmd == nil {
		return nil
	}
	if err := d.cmd.Process.Signal(signal); err != nil {
		return err
	}
	d.frozen = signal == syscall.SIGSTOP
	if d.frozen {
		return d.stopped()
	}
	if signal == syscall.SIGKILL || signal == syscall.SIGTERM {
		_ = d.cmd.Wait()
		d.cmd = nil
	}
	return nil
}

// stopped returns once each of its threads has stopped: a signal takes its time.
func (d *ownDaemon) stopped() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		running := 0
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.cmd.Process.Pid))
		if err != nil {
			return err
		}
		for _, thread := range threads {
			if data, err := os.ReadFile(thread); err == nil && !strings.Contains(string(data), ") T ") {
				running++
			}
		}
		if running == 0 {
			return nil
		}
	}
	return errors.New("the daemon does not stop")
}

// parentOf is the parent of a process on this host: of a container's init process, its shim.
func parentOf(pid uint32) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var parent int
	_, err = fmt.Sscan(fields[1], &parent)
	return parent, err
}
