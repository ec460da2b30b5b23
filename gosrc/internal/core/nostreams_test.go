package core

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"
)

func fifosIn(directory string) *cio.FIFOSet {
	config := cio.Config{
		Stdin:  filepath.Join(directory, "x-stdin"),
		Stdout: filepath.Join(directory, "x-stdout"),
		Stderr: filepath.Join(directory, "x-stderr"),
	}
	return cio.NewFIFOSet(config, func() error { return os.RemoveAll(directory) })
}

func TestAProcessWithoutStreamsLeavesNoFIFOs(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "fifos")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	dio, err := cio.NewDirectIO(context.Background(), fifosIn(directory))
	if err != nil {
		t.Fatal(err)
	}
	io, err := none(dio, (*cio.DirectIO).Close)
	if err != nil || io.Config() != (cio.Config{}) {
		t.Fatalf("got %+v, %v", io, err)
	}
	if _, err := os.Stat(directory); !os.IsNotExist(err) {
		t.Errorf("the FIFOs are still there: %v", err)
	}
}

func TestFIFOsThatNobodyElseOpensComeToBeOpen(t *testing.T) {
	for range 100 {
		dio, err := cio.NewDirectIO(context.Background(), fifosIn(t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		finishOpening(dio, allStreams)
		// One that is open ends, as nobody else has it; one that is not would wait for ever.
		if n, err := dio.Stdout.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		if _, err := dio.Stdin.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
			t.Fatalf("wrote to nobody: %v", err)
		}
		if err := dio.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFIFOThatTookAnothersPlaceHoldsNobodyUp(t *testing.T) {
	directory := t.TempDir()
	dio, err := cio.NewDirectIO(t.Context(), fifosIn(directory))
	if err != nil {
		t.Fatal(err)
	}
	// As the root of a user namespace can do, whose the bundle is.
	path := dio.Config().Stdout
	if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		finishOpening(dio, allStreams)
		_ = dio.Close()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for ever")
	}
}
