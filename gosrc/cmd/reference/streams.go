package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/containerd/containerd/v2/pkg/cio"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
)

// drainTime is how long the streams of an ended process are waited for, as long as in dockerd.
const drainTime = 2 * time.Second

// errRefused is what the callback of "stdio: refuse" returns.
var errRefused = errors.New("the callback refuses")

// streams is the cio.IO of one process: it keeps what the process writes, and in which order it was called.
type streams struct {
	mode    string
	dio     *cio.DirectIO
	readers sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{}
	out     map[string]*bytes.Buffer
	calls   []string
}

func newStreams(mode string) *streams {
	return &streams{mode: mode, changed: make(chan struct{}), out: map[string]*bytes.Buffer{"stdout": {}, "stderr": {}}}
}

func (s *streams) attach() libcontainerdtypes.StdioCallback {
	return func(dio *cio.DirectIO) (cio.IO, error) {
		s.dio = dio
		switch s.mode {
		case "refuse":
			return nil, errRefused
		case "none":
			dio.Cancel()
			null, _ := cio.NullIO("")
			return null, dio.Close()
		case "unread":
			return s, nil
		}
		for name, pipe := range map[string]io.ReadCloser{"stdout": dio.Stdout, "stderr": dio.Stderr} {
			if pipe != nil {
				s.readers.Go(func() { s.read(name, pipe) })
			}
		}
		return s, nil
	}
}

func (s *streams) read(name string, pipe io.Reader) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := pipe.Read(buffer)
		s.mu.Lock()
		s.out[name].Write(buffer[:n])
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// until waits until a stream has brought a text.
func (s *streams) until(name, text string) error {
	for end := time.After(patience); ; {
		s.mu.Lock()
		there, changed := bytes.Contains(s.out[name].Bytes(), []byte(text)), s.changed
		s.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-changed:
		case <-end:
			return fmt.Errorf("%q did not come on %s", text, name)
		}
	}
}

func (s *streams) called(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
}

func (s *streams) print() object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return object{"stdout": textOf(s.out["stdout"].Bytes()), "stderr": textOf(s.out["stderr"].Bytes())}
}

// printCalls gives the calls up to the first close, which pyctd makes the last one: libcontainerd cancels and closes
// anew what containerd's client has closed already.
func (s *streams) printCalls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if closed := slices.Index(s.calls, "close"); closed >= 0 {
		return s.calls[:closed+1]
	}
	return append([]string{}, s.calls...)
}

// config prints what the callback was given.
func (s *streams) config() any {
	if s.dio == nil {
		return nil
	}
	c := s.dio.Config()
	return object{"terminal": c.Terminal, "stdin": c.Stdin, "stdout": c.Stdout, "stderr": c.Stderr}
}

func (s *streams) Config() cio.Config { return s.dio.Config() }

func (s *streams) Cancel() {
	s.called("cancel")
	s.dio.Cancel()
}

func (s *streams) Wait() {
	s.called("wait")
	s.drain(drainTime)
}

// drain waits for the ends of the streams, within a bound: a child that an ended process leaves can hold them open.
func (s *streams) drain(within time.Duration) {
	done := make(chan struct{})
	go func() {
		s.readers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(within):
	}
}

func (s *streams) Close() error {
	s.called("close")
	return s.dio.Close()
}

// textOf prints bytes: as text where they are some and short, as their digest where they are long.
func textOf(data []byte) any {
	switch {
	case len(data) > 4096:
		return object{"bytes": len(data), "sha256": fmt.Sprintf("%x", sha256.Sum256(data))}
	case utf8.Valid(data):
		return string(data)
	}
	return object{"base64": base64.StdEncoding.EncodeToString(data)}
}
