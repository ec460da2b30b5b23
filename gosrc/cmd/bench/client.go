package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/pyctd/pyctd/gosrc/internal/direct"
)

const shim = "io.containerd.runc.v2"

// bench is a libcontainerd client and what the workloads need of it.
type bench struct {
	setup
	*direct.Connection
	spec    specs.Spec
	ids     atomic.Int64
	sleeper libcontainerdtypes.Container // what status, stats and exec work on
	asleep  libcontainerdtypes.Task
	exits   atomic.Pointer[chan int64] // takes the age of each exit event at its handler
}

func newBench(s setup) (*bench, error) {
	b := &bench{setup: s}
	text, err := os.ReadFile(s.Spec)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &b.spec); err != nil {
		return nil, err
	}
	b.Connection, err = direct.Connect(background, s.Address, s.Namespace, filepath.Join(s.State, s.Namespace), b)
	return b, err
}

// ProcessEvent is libcontainerd's Backend.
func (b *bench) ProcessEvent(_ string, event libcontainerdtypes.EventType, info libcontainerdtypes.EventInfo) error {
	if exits := b.exits.Load(); exits != nil && event == libcontainerdtypes.EventExit {
		*exits <- time.Since(info.ExitedAt).Nanoseconds()
	}
	return nil
}

// counter is a Backend that tells when it has had so many events.
type counter struct {
	left atomic.Int64
	done chan struct{}
}

func (c *counter) ProcessEvent(string, libcontainerdtypes.EventType, libcontainerdtypes.EventInfo) error {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
	return nil
}
