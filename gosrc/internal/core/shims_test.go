package core

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A shim by its command line, in the directory that containerd gave it.
func pretendShim(t *testing.T, address, bundle string) *exec.Cmd {
	t.Helper()
	if err := os.Mkdir(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "read -r _", "-id", filepath.Base(bundle), "-address", address)
	cmd.Args[0] = "containerd-shim-test"
	cmd.Dir = bundle
	if _, err := cmd.StdinPipe(); err != nil { // it waits for what never comes
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func TestAShimWhoseDirectoryIsGoneEndsWithItsDaemon(t *testing.T) {
	directory := t.TempDir()
	address := filepath.Join(directory, "containerd.sock")
	one := pretendShim(t, address, filepath.Join(directory, "one"))
	// As containerd does when the start has failed.
	hidden := filepath.Join(directory, ".one")
	if err := os.Rename(one.Dir, hidden); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(hidden); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- one.Wait() }()
	endShims(address)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it lives on")
	}
}
