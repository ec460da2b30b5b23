package main

import (
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
	if signal == syscall.SIGKILL || signal == syscall.SIGTERM {
		_ = d.cmd.Wait()
		d.cmd = nil
	}
	return nil
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
