package core

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"golang.org/x/sys/unix"
)

// stopped is the daemon of an engine that has ended.
type stopped struct {
	//lint:ignore U1000 set by name, as moby's are
	daemonPid int
	//lint:ignore U1000 likewise
	pidFile string
	GRPC    config.GRPCConfig
}

func (*stopped) WaitTimeout(time.Duration) error { return nil }

func (*stopped) Address() string { return "" }

// A cleaner of /tmp removes old directories, and then another user can make one of that name.
func TestAnEngineExecutesAndRemovesNothingInDirectoriesThatHaveBecomeAnotherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	above := t.TempDir()
	root, state, elsewhere := filepath.Join(above, "root"), filepath.Join(above, "state"), filepath.Join(above, "elsewhere")
	executed, program := filepath.Join(above, "executed"), filepath.Join(state, "program")
	bundle := filepath.Join(state, tasksDirectory, "moby", "web")
	precious := filepath.Join(elsewhere, "moby", "web", "file")
	write(t, precious)
	write(t, filepath.Join(bundle, "shim-binary-path"))
	if err := errors.Join(
		os.WriteFile(program, []byte("#!/bin/sh\n: > "+executed+"\n"), 0o755),
		os.WriteFile(filepath.Join(bundle, "shim-binary-path"), []byte(program), 0o644),
		os.MkdirAll(filepath.Join(root, filepath.Dir(tasksDirectory)), 0o755),
		os.Symlink(elsewhere, filepath.Join(root, tasksDirectory)),
		os.Chown(root, 65534, 65534), os.Chown(state, 65534, 65534),
	); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(state, "containerd.pid"), 0o644); err != nil { // whose reader would wait for ever
		t.Fatal(err)
	}
	c := New(recorder{}, 0)
	launcher, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{
		root: root, state: state, address: filepath.Join(state, "containerd.sock"), launcher: launcher,
		stop: func() {}, kept: make(chan struct{}), daemon: &stopped{}, stopSupervisor: func() {},
	}
	close(e.kept)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var failed error
	finish(t, func() { _, failed = c.StopEngine(ctx, c.handles.Put(e), true, true) })
	if failed == nil {
		t.Error("it does not say that the containers stay")
	}
	if exists(executed) {
		t.Error("another user's program was executed")
	}
	if !exists(precious) {
		t.Error("what another user's link leads to was removed")
	}
	if !exists(bundle) || !exists(filepath.Join(root, tasksDirectory)) {
		t.Error("another user's directory was removed")
	}
}

// As a runc that hangs while its shim is killed.
func TestAProgramThatAShimLeavesDoesNotKeepTheCleaningUp(t *testing.T) {
	e := &Engine{root: t.TempDir(), state: t.TempDir(), path: os.Getenv("PATH")}
	write(t, filepath.Join(e.state, tasksDirectory, "moby", "web", "config.json"))
	program := filepath.Join(e.state, "shim")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nsleep 20 &\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	shimBundle{"moby", "web", program}.clean(t.Context(), e)
	if took := time.Since(begun); took > shimDeleteTimeout {
		t.Errorf("it took %s", took)
	}
}
