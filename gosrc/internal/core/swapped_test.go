package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A cleaner of /tmp removes old directories while an engine starts or ends, and another user puts a link in the place of one.

// swap is a line of a shell's that has another user's link lead from a directory to another one.
func swap(directory, elsewhere string) string {
	return fmt.Sprintf("mv '%s' '%s-away' && ln -s '%s' '%s' && chown -h 65534:65534 '%s'\n", directory, directory, elsewhere, directory, directory)
}

// script makes a program of lines for a shell.
func script(t *testing.T, path, lines string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("#!/bin/sh\n"+lines), 0o755)); err != nil {
		t.Fatal(err)
	}
}

func TestAStartThatFailsRemovesNothingThatAnotherUsersLinkLeadsTo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	place := t.TempDir()
	above, elsewhere, bin := filepath.Join(place, "above"), filepath.Join(place, "elsewhere"), filepath.Join(place, "bin")
	root, state := filepath.Join(above, "root"), filepath.Join(above, "state")
	var precious []string
	for _, name := range []string{"root/file", "state/file", "state/containerd.sock", "state/containerd.pid"} {
		precious = append(precious, filepath.Join(elsewhere, name))
		write(t, precious[len(precious)-1])
	}
	script(t, filepath.Join(bin, "containerd"), // one that never serves
		fmt.Sprintf("until [ -s '%s/containerd.pid' ]; do sleep 0.01; done\n", state)+swap(above, elsewhere)+"while :; do sleep 0.1; done\n")
	if err := os.Mkdir(above, 0o755); err != nil {
		t.Fatal(err)
	}
	c := New(recorder{}, 0)
	stdout, stderr := os.Stdout, os.Stderr
	t.Cleanup(func() { os.Stdout, os.Stderr = stdout, stderr })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var failed error
	finish(t, func() { _, failed = c.StartEngine(ctx, root, state, "warn", bin+":"+os.Getenv("PATH")) })
	if failed == nil {
		t.Error("it has started")
	}
	if _, err := os.Readlink(above); err != nil {
		t.Fatal(err)
	}
	for _, path := range precious {
		if !exists(path) {
			t.Errorf("%q was removed", path)
		}
	}
}

func TestAnEngineThatEndsLooksAtItsDirectoryBeforeEachBundle(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	place := t.TempDir()
	state, elsewhere, executed := filepath.Join(place, "state"), filepath.Join(place, "elsewhere"), filepath.Join(place, "executed")
	program := filepath.Join(place, "shim")
	script(t, program, fmt.Sprintf("echo >>'%s'\n[ -L '%s' ] || ", executed, state)+swap(state, elsewhere))
	var precious []string
	for _, id := range []string{"a", "b"} {
		below := filepath.Join(tasksDirectory, "moby", id)
		write(t, filepath.Join(state, below, "config.json"))
		precious = append(precious, filepath.Join(elsewhere, below, "file"))
		write(t, precious[len(precious)-1])
	}
	e := &Engine{root: t.TempDir(), state: state, path: os.Getenv("PATH")}
	for _, id := range []string{"a", "b"} { // of many, which take turns
		finish(t, func() { shimBundle{"moby", id, program}.clean(t.Context(), e) })
	}
	if told, _ := os.ReadFile(executed); strings.Count(string(told), "\n") != 1 {
		t.Errorf("the shim was executed %d times", strings.Count(string(told), "\n"))
	}
	for _, path := range precious {
		if !exists(path) {
			t.Errorf("%q was removed", path)
		}
	}
}

// containerd 2.1.4 lets everybody who may enter its bundle write to this file, as the group of a user namespace's root may.
func TestTheAddressOfAShimThatFillsMemoryIsNotRead(t *testing.T) {
	e := &Engine{root: t.TempDir(), state: t.TempDir()}
	b := shimBundle{"moby", "web", ""}
	file := filepath.Join(b.path(e), "bootstrap.json")
	write(t, file)
	const size = 512 << 20
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	dead := b.dead(e)
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; dead || taken > size/8 {
		t.Errorf("dead: %t; it took %d bytes", dead, taken)
	}
}
